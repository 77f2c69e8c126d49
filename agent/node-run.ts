import { setMaxListeners } from 'node:events';
import { type AgentSession, clientFor } from './agent-session.js';
import type { AgentState } from './agent-state.js';
import { ApiClient } from './api-client.js';
import { IdentityRefused } from './api-errors.js';
import { AuthoritySeen } from './authority-seen.js';
import type { CacheOptions } from './caches/cache-options.js';
import { cachePartFor } from './caches/cache-setup.js';
import { NearSources } from './caches/near-sources.js';
import { notEnrolled } from './command-line.js';
import { AgentFailure, EXIT } from './exit.js';
import { HeartbeatLoop } from './heartbeat-loop.js';
import { type HeldSnapshot, readHeldSnapshot } from './held-snapshot.js';
import { HostReport } from './host-report.js';
import { IdentityKeys } from './identity/identity-keys.js';
import { CheckIn } from './launcher/check-in.js';
import { LauncherLink } from './launcher/launcher-link.js';
import { NodeApi } from './node-api.js';
import { whileAway } from './retry.js';
import { RoleKeeper } from './role-keeper.js';
import { SnapshotWatch } from './snapshot-watch.js';
import { openSupervision } from './supervisor/supervision.js';
import { TokenSource } from './token-source.js';
import { openTrust } from './trust/node-trust.js';
import type { CertificateWish } from './trust/renewal-plan.js';
import { TrustKeys } from './trust-keys.js';
import { Turns } from './turns.js';
import { openUpdates } from './updates/updates-setup.js';
import { AGENT_VERSION } from './version.js';
import { vpnKeeperFor } from './vpn/vpn-setup.js';

/** What the operator of the host may want of a running agent. */
export interface RunOptions {
  certificate: CertificateWish;
  /** Age in days at which the identity key is replaced; null: only when asked to. */
  rotateKeyAfterDays: number | null;
  /** How this host keeps files of releases for others; null: not at all. */
  cache: CacheOptions | null;
  /** Where the services of this host are defined; null: `services` in the state directory. */
  servicesDirectory: string | null;
  /** The product that releases of the agent are published as. */
  agentProduct: string;
}

export const AGENT_PRODUCT = 'rap-node-agent';

const DEFAULT_OPTIONS: RunOptions = {
  certificate: { keyType: 'p256', lifetimeSeconds: null },
  rotateKeyAfterDays: null,
  cache: null,
  servicesDirectory: null,
  agentProduct: AGENT_PRODUCT,
};

/** Loops and waits that one stop may end; more would be a leak, and is said to be one. */
const STOPPED_AT_ONCE = 64;
/** How long what is on its way when the agent stops may take to be answered, and the last words after that. */
const FAREWELL_MS = 5_000;

/**
 * Runs an enrolled node until it is stopped: heartbeats, its snapshot and its trust kept current, and the
 * workloads that it wants. No process of a workload is left when it returns.
 * @throws AgentFailure (4) when the control plane ended the identity
 */
export async function runNode(
  session: AgentSession,
  state: AgentState,
  options: RunOptions = DEFAULT_OPTIONS,
  farewellMs = FAREWELL_MS,
): Promise<void> {
  const { log, clock, stop, store } = session;
  setMaxListeners(STOPPED_AT_ONCE, stop.signal);
  if (state.enrollment.status !== 'enrolled') throw notEnrolled(store.directory);
  const { nodeId, clusterId, snapshotKeys } = state.enrollment;
  log.info('started', { agentVersion: AGENT_VERSION, nodeId, clusterId, pid: process.pid });
  const launcher = LauncherLink.open(() => stop.abort());
  const api = clientFor(state, session);
  const keys = await IdentityKeys.open(store, state, log);
  const identity = { nodeId, clusterId, audience: state.baseUrl, keys };
  const tokens = new TokenSource(api, identity, clock, log, stop.signal);
  const roles = new RoleKeeper(clock, log);
  const nodeApi = new NodeApi(api, tokens);
  // Given up at the stop, what tells of services could still arrive, behind the last words.
  const reportApi = new NodeApi(new ApiClient(state.baseUrl, lingering(stop.signal, farewellMs)), tokens);
  const node = { nodeId, clusterId };
  const context = { log, presence: session.presence, stop: stop.signal };
  const turns = new Turns();
  const supervision = await openSupervision(session, node, reportApi, context, turns, options);
  const { supervisor, reporter } = supervision;
  const updates = await openUpdates(store, node, nodeApi, context, supervision, {
    product: options.agentProduct,
    launcher,
  });
  roles.follow((snapshot, now) => supervisor.apply(snapshot, now));
  roles.follow((snapshot) => updates.keeper.apply(snapshot));
  try {
    if (state.refused !== null && !(await isWelcomeAgain(session, tokens))) return;
    const held = await usableSnapshot(session, state);
    const snapshotTrust = new TrustKeys(api, store, clusterId, snapshotKeys);
    const watch = new SnapshotWatch(nodeApi, node, snapshotTrust, store, roles, clock, context, held);
    const membership = (): string | null => watch.held?.snapshot.membershipStatus ?? null;
    const trust = await openTrust(session, { api, nodeApi, identity, membership, context, options });
    const vpn = await vpnKeeperFor(session, node, state.baseUrl, tokens, nodeApi);
    roles.follow((snapshot, now) => vpn.apply(snapshot, now));
    const cache = cachePartFor(session, clusterId, trust.store, nodeApi, context, options.cache);
    roles.follow(cache.apply);
    const near = new NearSources(clusterId, trust.store);
    roles.follow((snapshot) => near.apply(snapshot?.updateCaches ?? []));
    updates.askFirst((file) => near.of(file));
    watch.onLeaseHints((connectionIds) => vpn.look(connectionIds));
    if (held !== null) roles.apply(held.snapshot);
    const authority = new AuthoritySeen(() => watch.held?.snapshot.authorityTerm ?? null);
    const checkIn = new CheckIn(launcher, AGENT_VERSION, () => watch.held !== null);
    const parts = [...trust.parts, supervision.part, authority, checkIn];
    const heartbeat = new HeartbeatLoop(reportApi, watch, store, clock, context, parts, turns);
    const report = new HostReport(nodeApi, state.wish, context);
    const reports = [heartbeat.run(), report.run(), reporter.run(), updates.reporter.run()];
    const work = [vpn.run(stop.signal), cache.run(), updates.keeper.run()];
    const loops = [watch.run(), ...work, ...reports, ...trust.start()];
    await allOrNone(loops, stop);
  } catch (error) {
    if (error instanceof IdentityRefused) {
      roles.apply(null);
      await refuse(session, error);
    }
    throw error;
  } finally {
    launcher?.close();
    roles.stop();
    await supervisor.close();
    reporter.keepLatest(); // what they were on their way to that is no news any more
    await turns.take(async () => undefined); // what was on its way has been answered, or was given up
    const farewell = new ApiClient(state.baseUrl, AbortSignal.timeout(farewellMs));
    // The node is about to be silent; that its services have stopped is worth a try, and no more.
    await reporter.flush(new NodeApi(farewell, tokens)).catch(() => undefined);
  }
}

/**
 * After a refusal nothing is done until the service has given a token again. It may: a wrong public URL or
 * a service started on the wrong data refuses everybody, and that must not need a hand on every host.
 * False: stopped before there was an answer. @throws IdentityRefused
 */
async function isWelcomeAgain(session: AgentSession, tokens: TokenSource): Promise<boolean> {
  const { stop, presence, store } = session;
  try {
    await whileAway(() => tokens.get(), presence, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return false;
    throw error;
  }
  await store.updateState((state) => ({ ...state, refused: null }));
  return true;
}

/** A signal that aborts so long after `stop` does. */
function lingering(stop: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController();
  const begin = (): void => void setTimeout(() => later.abort(), ms).unref();
  stop.addEventListener('abort', begin, { once: true });
  return later.signal;
}

/** Waits for every loop; the failure of one stops the others and is thrown once all have ended. */
async function allOrNone(loops: Promise<void>[], stop: AbortController): Promise<void> {
  const ends = await Promise.allSettled(
    loops.map((loop) =>
      loop.catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    ),
  );
  const failed = ends.filter((end) => end.status === 'rejected');
  const cause = failed.find((end) => end.reason instanceof IdentityRefused) ?? failed[0];
  if (cause !== undefined) throw cause.reason;
}

/** The last good snapshot, or null; one that is on disk and does not verify is said and left alone. */
async function usableSnapshot(session: AgentSession, state: AgentState): Promise<HeldSnapshot | null> {
  const stored = await readHeldSnapshot(session.store, state);
  if (stored === null || 'snapshot' in stored) return stored;
  session.log.error('snapshot.refused', { reason: stored.refused, stored: true });
  return null;
}

/** Writes the end of the identity down and says so. @throws AgentFailure (4) always */
async function refuse(session: AgentSession, error: IdentityRefused): Promise<never> {
  const reason = error.message;
  session.log.error('refused', { reason, detail: 'the control plane ended this identity; work has stopped' });
  const refused = { at: new Date().toISOString(), reason };
  await session.store.updateState((state) => ({ ...state, refused }));
  throw new AgentFailure(`refused by the control plane: ${reason}`, EXIT.refused, { cause: error });
}

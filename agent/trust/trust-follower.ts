import { Alarm } from '../alarm.js';
import { type Fields, optionalNumber, optionalText } from '../answer-fields.js';
import type { ApiAnswer, ApiClient } from '../api-client.js';
import { retryMs } from '../backoff.js';
import type { HeartbeatPart } from '../heartbeat-part.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { ServerClock } from '../server-clock.js';
import { isNoOlder, type RevocationList, readRevocationList } from './revocation-list.js';
import { type Root, readTrustBundle, type TrustBundle } from './trust-bundle.js';
import { appliedEpoch, type TrustStore } from './trust-store.js';
import { Untrusted } from './untrusted.js';

const LOOK_AGAIN_MS = 60_000;
/** A list is fetched anew when this part of its time has passed: whoever checks with it refuses one that is over. */
const REFRESH_AT = 1 / 2;

/** What the last heartbeat's answer named. */
interface Announced {
  fingerprint: string | null;
  epoch: number | null;
}

/**
 * Follows the cluster's roots and revocations. A heartbeat names them, this fetches, verifies and stores them, and only
 * then do later heartbeats acknowledge them.
 */
export class TrustFollower implements HeartbeatPart {
  private readonly alarm = new Alarm();
  private announced: Announced = { fingerprint: null, epoch: null };

  constructor(
    private readonly api: ApiClient,
    private readonly clusterId: string,
    private readonly store: TrustStore,
    private readonly clock: ServerClock,
    private readonly context: LoopContext,
    /** Told when the bundle or the lists have changed. */
    private readonly onChange: () => void,
  ) {}

  report(): Record<string, unknown> {
    const { bundle } = this.store.current;
    const epoch = appliedEpoch(this.store.current);
    return {
      ...(bundle !== null && { trustBundleSeen: bundle.fingerprint }),
      ...(epoch !== null && { revocationEpochApplied: epoch }),
    };
  }

  heard(answer: Fields): void {
    const fingerprint = optionalText(answer, 'trustBundle');
    this.announced = { fingerprint, epoch: optionalNumber(answer, 'revocationEpoch') };
    if (this.isBundleOld() || this.areListsOld()) this.alarm.ring();
  }

  /** Follows until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    for (let failures = 0; !stop.aborted; ) {
      let waitMs = LOOK_AGAIN_MS;
      try {
        if (this.isBundleOld()) await this.fetchBundle();
        if (this.areListsOld()) await this.fetchLists();
        failures = 0;
      } catch (error) {
        waitMs = this.afterRefusal(error, failures);
        failures += 1;
      }
      await this.alarm.sleep(waitMs, stop);
    }
  }

  private isBundleOld(): boolean {
    const { fingerprint } = this.announced;
    return fingerprint !== null && fingerprint !== this.store.current.bundle?.fingerprint;
  }

  /** Another epoch, not only a higher one: after a restore of the control plane the lists of its new time are wanted. */
  private areListsOld(): boolean {
    const { bundle, lists } = this.store.current;
    if (bundle === null) return false;
    const { epoch } = this.announced;
    if (epoch !== null && epoch !== appliedEpoch(this.store.current)) return true;
    return lists.some((list) => refreshAt(list) <= this.clock.now());
  }

  private async fetchBundle(): Promise<void> {
    const answer = await this.get('bundle', 'application/x-pem-file');
    const expected = { clusterId: this.clusterId, now: this.clock.now() };
    const bundle = await readTrustBundle(answer.bytes.toString('utf8'), expected);
    if (bundle.fingerprint !== this.announced.fingerprint)
      throw new Untrusted('another_bundle', 'the bundle is not the one that the control plane names');
    await this.store.update((held) => ({ ...held, bundle, lists: listsOf(bundle, held.lists) }));
    const roots = bundle.roots.map(({ kid }) => kid);
    this.context.log.info('bundle.accepted', { fingerprint: bundle.fingerprint, roots });
    this.onChange();
  }

  private async fetchLists(): Promise<void> {
    const { bundle } = this.store.current;
    if (bundle === null) return;
    const { epoch: wanted } = this.announced;
    const fetched = await Promise.all(bundle.roots.map((root) => this.fetchList(root)));
    const before = appliedEpoch(this.store.current);
    await this.store.update((held) => ({
      ...held,
      lists: listsOf(held.bundle ?? bundle, [...fetched, ...held.lists]),
    }));
    const applied = appliedEpoch(this.store.current);
    if (applied !== before) this.context.log.info('revocations.applied', { epoch: applied });
    this.onChange();
    if (wanted !== null && (applied ?? -1) < wanted)
      throw new Untrusted('older_than_announced', `the lists are of epoch ${applied}, not ${wanted}`);
  }

  private async fetchList(root: Root): Promise<RevocationList> {
    const answer = await this.get(`crl?authority=${root.kid}`, 'application/pkix-crl');
    const list = await readRevocationList(answer.bytes, root, this.clock.now());
    const held = this.store.current.lists.find(({ authorityKid }) => authorityKid === root.kid);
    if (held === undefined || isNoOlder(list, held)) return list;
    throw new Untrusted('older_than_held', 'the revocation list is older than the one that is held');
  }

  private get(what: string, mediaType: string): Promise<ApiAnswer> {
    const path = `/api/v1/clusters/${encodeURIComponent(this.clusterId)}/trust/${what}`;
    const accept = `${mediaType}, application/problem+json`;
    // A cache on the way may hold what was before the change that the heartbeat told of.
    return this.api.send({ method: 'GET', path, headers: { accept, 'cache-control': 'no-cache' } });
  }

  private afterRefusal(error: unknown, failures: number): number {
    if (!(error instanceof Untrusted)) return afterFailure(error, 'trust.failed', failures, this.context);
    this.context.log.warn('trust.refused', { reason: error.reason, detail: error.message });
    return retryMs(failures, null, Math.random());
  }
}

/** The first of each root of the bundle, in its order. */
function listsOf(bundle: TrustBundle, lists: readonly RevocationList[]): RevocationList[] {
  const found = bundle.roots.map(({ kid }) => lists.find(({ authorityKid }) => authorityKid === kid));
  return found.filter((list) => list !== undefined);
}

function refreshAt({ thisUpdate, nextUpdate }: RevocationList): Date {
  return new Date(thisUpdate.getTime() + (nextUpdate.getTime() - thisUpdate.getTime()) * REFRESH_AT);
}

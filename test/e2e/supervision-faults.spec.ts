import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { AgentHost } from '../support/agent-process.js';
import { type Api, apiClient } from '../support/api.js';
import { created, unique } from '../support/given.js';
import { endNodeServices, type NodeService, nodeServices } from '../support/node-services.js';
import { buildService, type ServiceProcess, startService } from '../support/service-process.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { UnreliableProxy } from '../support/unreliable-proxy.js';

const TIMEOUT_MS = 600_000;
/** The same story each time; another seed is another story. */
const SEED = Number(process.env.SUPERVISION_SEED ?? 20_260_301);
const AGENTS = ['north', 'south', 'west'];
const TYPES = ['config-storage', 'update-cache'];
const KILLS = 3;
const CHANGES_BETWEEN_KILLS = 16;
const LAST_CHANGES = 30;

let database: TestDatabase;
let proxy: UnreliableProxy;
let host: AgentHost;
let folder: string;
let service: ServiceProcess | null = null;
const secrets = {
  key: randomBytes(32).toString('base64url'),
  token: `owner-${randomBytes(24).toString('hex')}`,
};
let clusterId: string;
const nodes = new Map<string, string>();

beforeAll(async () => {
  await buildService();
  database = await createTestDatabase();
  proxy = await UnreliableProxy.open();
  host = await AgentHost.open();
  folder = await mkdtemp(join(tmpdir(), 'supervision-'));
  await mkdir(join(folder, 'services'));
  await mkdir(join(folder, 'starts'));
  for (const type of TYPES) await define(type);
  await comeUp();
}, 300_000);
afterAll(async () => {
  await host?.close();
  await endNodeServices(...nodes.values());
  await service?.end('SIGKILL');
  await proxy?.close();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

/** A service that shows with which configuration it was started. */
async function define(serviceType: string): Promise<void> {
  const script = `cp "$RAP_CONFIG_FILE" "${folder}/starts/$RAP_INSTANCE_ID"; exec sleep 600`;
  const definition = { command: ['/bin/sh', '-c', script] };
  await writeFile(join(folder, 'services', `${serviceType}.json`), JSON.stringify(definition));
}

/** Starts the service on what its database holds. */
async function comeUp(): Promise<void> {
  service = await startService({
    DATABASE_URL: database.appUrl,
    FABRIC_DATABASE_OWNER_URL: database.ownerUrl,
    FABRIC_MASTER_KEY: secrets.key,
    FABRIC_BOOTSTRAP_TOKEN: secrets.token,
    FABRIC_DATA_DIR: folder,
    FABRIC_PUBLIC_URL_ALIASES: proxy.url,
    PORT: '0',
    LOG_LEVEL: 'warn',
  });
  proxy.leadTo(service.url);
}

const api = (): Api => apiClient(service?.url ?? '', secrets.token);
const assignments = () => `/clusters/${clusterId}/role-assignments`;

/** A generator of numbers from 0 to 1 that begins the same for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function admitAll(): Promise<void> {
  const cluster = { name: 'Rain', slug: unique('rain') };
  clusterId = (created(await api().post('/clusters', cluster)) as { id: string }).id;
  const policy = { heartbeatSeconds: 1, staleAfterMissed: 300, offlineAfterMissed: 600 };
  created(await api().put(`/clusters/${clusterId}/policy`, policy));
  const token = await api().post(`/clusters/${clusterId}/join-tokens`, { maxUses: AGENTS.length });
  for (const name of AGENTS) {
    const order = [
      '--url',
      proxy.url,
      '--token',
      (created(token) as { token: string }).token,
      '--name',
      name,
    ];
    const capabilities = ['--no-discover', '--capability', 'can_run_update_cache', '--no-wait'];
    const enrolling = host.start(
      name,
      'enroll',
      ...order,
      ...capabilities,
      '--fact',
      `machineId=rain-${name}`,
    );
    const { joinRequestId } = await enrolling.seen('enrollment.pending');
    await enrolling.ended;
    const at = `/clusters/${clusterId}/join-requests/${joinRequestId}/approve`;
    const { approvedNodeId } = created(await api().post(at)) as { approvedNodeId: string };
    nodes.set(name, approvedNodeId);
    for (const role of TYPES) {
      created(await api().post(assignments(), { nodeId: approvedNodeId, role }));
    }
  }
}

/** How often a node has got a role by a bulk assignment whose answer came. */
let givenInBulk = 0;

type Change = 'want' | 'forget' | 'role' | 'take' | 'bulk' | 'member';
/** As often as it happens. */
const RAIN: readonly Change[] = [
  ...(['want', 'want', 'want', 'want', 'want', 'forget'] as const),
  ...(['role', 'role', 'take', 'bulk', 'bulk', 'member'] as const),
];
/** Such that something is left to run. */
const LAST_DROPS: readonly Change[] = [
  'want',
  'want',
  'want',
  'want',
  'want',
  'want',
  'role',
  'take',
  'bulk',
  'bulk',
];

/** One change of roles, also of many nodes at once, of workloads or membership, whatever becomes of it: the service may be killed in its midst. */
async function change(next: () => number, kinds: readonly Change[]): Promise<void> {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
  const nodeId = pick([...nodes.values()]);
  const node = `/clusters/${clusterId}/nodes/${nodeId}`;
  const type = pick(TYPES);
  const kind = pick(kinds);
  const call = api();
  if (kind === 'want') {
    const desiredState = next() < 0.75 ? 'running' : 'stopped';
    const config = { round: Math.floor(next() * 1e6) };
    const restartPolicy = { mode: 'always', initialDelaySeconds: 0, maxDelaySeconds: 1 };
    await call.put(`${node}/workloads/${type}`, { desiredState, runtime: 'native', config, restartPolicy });
  } else if (kind === 'forget') {
    await call.delete(`${node}/workloads/${type}`);
  } else if (kind === 'role' || kind === 'take') {
    const { items } = (await call.get(`${assignments()}?nodeId=${nodeId}&role=${type}`)).body;
    const [assignment] = items as { id: string; status: string }[];
    const path = `${assignments()}/${assignment?.id}`;
    if (kind === 'take') await call.delete(path);
    else await call.post(`${path}/${assignment?.status === 'active' ? 'disable' : 'enable'}`);
  } else if (kind === 'bulk') {
    const { status, body } = await call.post(`${assignments()}/bulk`, { selector: {}, role: type });
    if (status === 200) givenInBulk += body.assigned;
  } else {
    const { membershipStatus } = (await call.get(node)).body;
    await call.post(`${node}/${membershipStatus === 'active' ? 'disable' : 'enable'}`);
  }
}

/** Every node takes part again, with every role. */
async function allowEverything(): Promise<void> {
  for (const nodeId of nodes.values()) await api().post(`/clusters/${clusterId}/nodes/${nodeId}/enable`);
  const { items } = (await api().get(`${assignments()}?status=disabled`)).body;
  for (const { id } of items) created(await api().post(`${assignments()}/${id}/enable`));
  for (const role of TYPES) created(await api().post(`${assignments()}/bulk`, { selector: {}, role }));
}

interface Payload {
  generation: number;
  roles: { role: string }[];
  workloads: { serviceType: string; desiredState: string; config: object }[];
}

/** What the database holds for the node. */
async function heldByService(nodeId: string): Promise<Payload> {
  return created(await api().get(`/clusters/${clusterId}/nodes/${nodeId}/snapshot`)) as Payload;
}

/** What the agent has on its disk. */
async function heldByAgent(name: string): Promise<Payload> {
  const { jws } = JSON.parse(await readFile(join(host.directory(name), 'snapshot.json'), 'utf8'));
  return decodeJwt(jws) as unknown as Payload;
}

/** What runs, each with the configuration that it was started with. */
async function running(nodeId: string): Promise<{ serviceType: string; config: object }[]> {
  const found = new Map((await nodeServices(nodeId)).map((each) => [each.instanceId, each]));
  const read = async ({ serviceType, instanceId }: NodeService) => {
    const text = await readFile(join(folder, 'starts', instanceId), 'utf8').catch(
      () => '{"not": "started yet"}',
    );
    return { serviceType, config: JSON.parse(text || '{}') as object };
  };
  const all = await Promise.all([...found.values()].map(read));
  return all.sort((one, other) => (one.serviceType < other.serviceType ? -1 : 1));
}

/** What is to run by that snapshot; it holds only what a role covers. */
const wantedBy = ({ workloads }: Payload) =>
  workloads
    .filter(({ desiredState }) => desiredState === 'running')
    .map(({ serviceType, config }) => ({ serviceType, config }));

/** Content without what differs from one issue to the next. */
const contentOf = (payload: object) => {
  const { issuedAt, expiresAt, ...content } = payload as Record<string, unknown>;
  return content;
};

/** Looks until both sides are the same, and returns both for the last word. */
async function settled(name: string, nodeId: string) {
  const deadline = Date.now() + 240_000;
  for (;;) {
    const desired = await heldByService(nodeId);
    const { items } = (await api().get(`/clusters/${clusterId}/nodes/${nodeId}/workloads`)).body;
    const reported = (items as { serviceType: string; reportedState: string; desiredState: string | null }[])
      .filter(({ serviceType }) => desired.workloads.some((each) => each.serviceType === serviceType))
      .map(({ serviceType, reportedState }) => ({ serviceType, reportedState }))
      .sort((one, other) => (one.serviceType < other.serviceType ? -1 : 1));
    const service = {
      content: contentOf(desired),
      running: wantedBy(desired),
      reported: desired.workloads.map(({ serviceType, desiredState }) => ({
        serviceType,
        reportedState: desiredState,
      })),
    };
    const agent = { content: contentOf(await heldByAgent(name)), running: await running(nodeId), reported };
    if (isDeepStrictEqual(service, agent) || Date.now() > deadline) return { service, agent };
    await sleep(100);
  }
}

it(
  'ends at exactly what the database holds on every agent, after a rain of changes and a service killed again and again',
  async () => {
    const next = numbers(SEED);
    await admitAll();
    const options = ['--services-dir', join(folder, 'services'), '--log-level', 'debug'];
    const agents = AGENTS.map((name) => host.start(name, 'run', ...options));
    await Promise.all(agents.map((agent) => agent.seen('snapshot.accepted')));
    for (let kill = 0; kill < KILLS; kill += 1) {
      const dying = service;
      const deathAfter = Math.floor(next() * CHANGES_BETWEEN_KILLS);
      for (let count = 0; count < CHANGES_BETWEEN_KILLS; count += 1) {
        const changing = change(next, RAIN).catch(() => undefined); // its answer may be lost with the service
        if (count === deathAfter) await dying?.end('SIGKILL');
        await changing;
        if (count === deathAfter) break;
      }
      await comeUp();
    }
    await allowEverything();
    for (let count = 0; count < LAST_CHANGES; count += 1) await change(next, LAST_DROPS);
    let services = 0;
    for (const [name, nodeId] of nodes) {
      const { service: wanted, agent: found } = await settled(name, nodeId);
      expect(found).toEqual(wanted);
      services += wanted.running.length;
    }
    expect(givenInBulk).toBeGreaterThan(0);
    expect(services).toBeGreaterThan(0); // else all were only equal in doing nothing
    for (const agent of agents) expect(await agent.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(await nodeServices(...nodes.values())).toEqual([]);
  },
  TIMEOUT_MS,
);

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { openSecondSession } from '../support/second-session.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const RUNNING = { desiredState: 'running', runtime: 'native' };
const FULL = {
  desiredState: 'running',
  runtime: 'container',
  version: '1.4.2',
  config: { tunnels: 4, routes: ['10.0.0.0/8'] },
  secretRefs: { psk: 'vault://edge/vpn#psk', 'tls.key': 'file://run/secrets/tls.key' },
  healthCheck: { type: 'tcp', port: 7000, intervalSeconds: 10, timeoutSeconds: 3, failureThreshold: 2 },
  restartPolicy: { mode: 'on_failure', initialDelaySeconds: 2, maxDelaySeconds: 30, resetAfterSeconds: 60 },
  whenControlPlaneLost: 'stop',
  privileged: false,
};
const DEFAULTS = {
  version: null,
  config: {},
  secretRefs: {},
  healthCheck: null,
  restartPolicy: { mode: 'always', initialDelaySeconds: 1, maxDelaySeconds: 60, resetAfterSeconds: 600 },
  whenControlPlaneLost: 'keep',
  privileged: false,
};

let controlPlane: ControlPlane;
let api: Api;
let node: TestNode;
let path: string;
beforeAll(async () => {
  controlPlane = await startControlPlane();
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());
const at = ({ clusterId, nodeId }: TestNode) => `/clusters/${clusterId}/nodes/${nodeId}`;
const put = (body: object = RUNNING, serviceType = 'vpn-exit', as: Api = api): Promise<Answer> =>
  as.put(`${path}/workloads/${serviceType}`, body);
const get = async (serviceType = 'vpn-exit') => (await api.get(`${path}/workloads/${serviceType}`)).body;
const report = async (body: object, serviceType = 'vpn-exit') =>
  (await node.api()).put(`/node-agents/me/workloads/${serviceType}/status`, { instanceId: 'A', ...body });

async function assign(role = 'vpn-exit', more: object = {}, to = node): Promise<string> {
  const body = { nodeId: to.nodeId, role, ...more };
  return (created(await api.post(`/clusters/${to.clusterId}/role-assignments`, body)) as { id: string }).id;
}

async function tokenWith(permissions: string[], more: object = {}): Promise<Api> {
  const body = { name: 'script', permissions, expiresInSeconds: 3_600, clusterId: node.clusterId, ...more };
  return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
}

/** A node without any role. */
async function freshNode(): Promise<void> {
  node = await admittedNode(controlPlane, undefined, {
    capabilities: ['can_run_vpn_exit', 'can_run_ssh_worker'],
  });
  path = at(node);
}
/** A node whose role covers `vpn-exit`. */
async function freshExit(): Promise<void> {
  await freshNode();
  await assign();
}

const snapshot = async () => (await api.get(`${path}/snapshot`)).body;
const events = async (query = '') =>
  (await api.get(`/audit/events?clusterId=${node.clusterId}&resourceType=workload${query}`)).body.items;

describe('putting a workload', () => {
  beforeEach(freshExit);

  it('makes it wanted: in the answer, the snapshot and the audit log', async () => {
    const before = (await snapshot()).generation;
    const answer = await put(FULL);
    expect([answer.status, answer.body]).toEqual([
      201,
      {
        clusterId: node.clusterId,
        nodeId: node.nodeId,
        nodeName: node.name,
        serviceType: 'vpn-exit',
        ...FULL,
        privilegedApprovedBy: null,
        privilegedApprovedAt: null,
        effective: true,
        ineffectiveReason: null,
        reportedState: 'unknown',
        reportedVersion: null,
        instanceId: null,
        health: null,
        message: null,
        reportedAt: null,
        stateSince: null,
        inSync: false,
        outOfSyncReason: 'not_reported',
        createdAt: answer.body.updatedAt,
        updatedAt: expect.stringMatching(/Z$/),
        updatedBy: { type: 'bootstrap', id: 'bootstrap' },
      },
    ]);
    const shown = await api.get(`${path}/workloads/vpn-exit`);
    expect([shown.body, shown.headers.get('etag')]).toEqual([answer.body, answer.headers.get('etag')]);
    const { workloads, generation } = await snapshot();
    expect([workloads, generation]).toEqual([[{ serviceType: 'vpn-exit', ...FULL }], before + 1]);
    expect(await events()).toMatchObject([
      {
        action: 'workload.created',
        resource: { type: 'workload', id: `${node.nodeId}/vpn-exit`, name: 'vpn-exit' },
        before: null,
        after: FULL,
        highRisk: false,
      },
    ]);
  });

  it('fills in what is left out', async () => {
    expect((await put()).body).toMatchObject({ ...RUNNING, ...DEFAULTS });
    expect((await snapshot()).workloads).toEqual([{ serviceType: 'vpn-exit', ...RUNNING, ...DEFAULTS }]);
    const { body } = await put({ ...RUNNING, restartPolicy: { mode: 'never' } });
    expect(body.restartPolicy).toEqual({ ...DEFAULTS.restartPolicy, mode: 'never' });
  });

  it('replaces what was wanted, and tells of what changed', async () => {
    await put(FULL);
    const answer = await put({ ...FULL, desiredState: 'stopped', version: undefined });
    expect([answer.status, answer.body.desiredState, answer.body.version]).toEqual([200, 'stopped', null]);
    expect((await events('&action=workload.updated'))[0]).toMatchObject({
      before: { desiredState: 'running', version: '1.4.2' },
      after: { desiredState: 'stopped', version: null },
    });
  });

  it('again changes nothing, whatever the order of members', async () => {
    const first = await put(FULL);
    const { generation } = await snapshot();
    const config = { routes: FULL.config.routes, tunnels: 4 };
    const again = await put(Object.fromEntries(Object.entries({ ...FULL, config }).reverse()));
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect([(await snapshot()).generation, (await events()).length]).toEqual([generation, 1]);
  });

  it('is planned by a dry run, which leaves nothing behind', async () => {
    const planned = await api.put(`${path}/workloads/vpn-exit?dryRun=true`, FULL);
    expect(planned.body).toMatchObject({
      dryRun: true,
      affectedNodes: 1,
      result: { serviceType: 'vpn-exit', outOfSyncReason: 'not_reported' },
      changes: [
        { patch: [{ op: 'add', path: '/workloads/0', value: { serviceType: 'vpn-exit', ...FULL } }] },
      ],
    });
    expect((await api.get(`${path}/workloads/vpn-exit`)).status).toBe(404);
    const applied = await api.put(`${path}/workloads/vpn-exit`, FULL, {
      'x-plan-hash': planned.body.planHash,
    });
    expect(applied.status).toBe(201);
  });

  it('is refused by If-Match when what is wanted was changed, and not by a report', async () => {
    const first = await put();
    const [etag, config = ''] = [first.headers.get('etag') ?? '', first.headers.get('etag')?.split('.')[0]];
    await report({ reportedState: 'running' });
    const seen = await api.get(`${path}/workloads/vpn-exit`);
    expect(seen.headers.get('etag')).not.toBe(etag);
    expect(seen.headers.get('etag')?.split('.')[0]).toBe(config);
    const putIf = (body: object, match: string) =>
      api.put(`${path}/workloads/vpn-exit`, body, { 'if-match': match });
    expect((await putIf({ ...RUNNING, version: '2' }, etag)).status).toBe(200);
    expect((await putIf(RUNNING, etag)).body.code).toBe('precondition_failed');
    expect((await api.delete(`${path}/workloads/vpn-exit`, undefined, { 'if-match': etag })).status).toBe(
      412,
    );
    const absent = await api.put(`${path}/workloads/synthetic.echo`, RUNNING, { 'if-match': '*' });
    expect(absent.status).toBe(412);
  });

  it('of ten at once makes it once, and every one is answered as if alone', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => put({ ...RUNNING, version: String(index) })),
    );
    expect(countByStatus(answers)).toEqual({ 200: 9, 201: 1 });
    const log = await events();
    expect(log.map(({ action }: { action: string }) => action).sort()).toEqual([
      'workload.created',
      ...Array.from({ length: 9 }, () => 'workload.updated'),
    ]);
    // Each went on from what the one before it left: one version alone was replaced by none, and that one is left.
    const versions = (side: 'before' | 'after') =>
      log.map((event: Record<string, { version?: string } | null>) => event[side]?.version);
    const left = versions('after').filter((version: string) => !versions('before').includes(version));
    expect([left, new Set(versions('after')).size]).toEqual([[(await get()).version], 10]);
    expect((await snapshot()).workloads).toMatchObject([{ version: left[0] }]);
  });
});

describe('what is wanted', () => {
  beforeAll(freshExit);

  it.each<[string, object, string]>([
    ['no state', { desiredState: undefined }, '#/desiredState'],
    ['a state that cannot be wanted', { desiredState: 'failed' }, '#/desiredState'],
    ['an unknown runtime', { runtime: 'wasm' }, '#/runtime'],
    ['a version with a space', { version: '1 2' }, '#/version'],
    ['a config that is too large', { config: { text: 'x'.repeat(17_000) } }, '#/config'],
    ['a config that is no object', { config: [] }, '#/config'],
    ['a secret value', { secretRefs: { key: 'hunter2' } }, '#/secretRefs/key'],
    ['a key in PEM', { secretRefs: { key: '-----BEGIN PRIVATE KEY-----' } }, '#/secretRefs/key'],
    ['a token', { secretRefs: { key: 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln' } }, '#/secretRefs/key'],
    ['a web address for a secret', { secretRefs: { key: 'https://vault/key' } }, '#/secretRefs/key'],
    ['a password in a reference', { secretRefs: { key: 'vault://me:pw@edge/key' } }, '#/secretRefs/key'],
    ['a secret without a proper name', { secretRefs: { 'a b': 'vault://edge#key' } }, '#/secretRefs/a%20b'],
    ['an unknown check', { healthCheck: { ...FULL.healthCheck, type: 'dns' } }, '#/healthCheck/type'],
    [
      'a check by port without one',
      { healthCheck: { ...FULL.healthCheck, port: undefined } },
      '#/healthCheck/port',
    ],
    [
      'a check by port with a URL',
      { healthCheck: { ...FULL.healthCheck, url: 'http://x' } },
      '#/healthCheck/url',
    ],
    [
      'a check without interval',
      { healthCheck: { ...FULL.healthCheck, intervalSeconds: undefined } },
      '#/healthCheck/intervalSeconds',
    ],
    [
      'a check that runs all the time',
      { healthCheck: { ...FULL.healthCheck, intervalSeconds: 0 } },
      '#/healthCheck/intervalSeconds',
    ],
    [
      'a check by a shell line',
      { healthCheck: { ...FULL.healthCheck, type: 'exec', port: undefined, command: 'a | b' } },
      '#/healthCheck/command',
    ],
    [
      'a check of a file',
      { healthCheck: { ...FULL.healthCheck, type: 'http', port: undefined, url: 'file:///etc/passwd' } },
      '#/healthCheck/url',
    ],
    [
      'a check with a password',
      { healthCheck: { ...FULL.healthCheck, type: 'http', port: undefined, url: 'http://a:b@c/' } },
      '#/healthCheck/url',
    ],
    [
      'delays that go down',
      { restartPolicy: { initialDelaySeconds: 9, maxDelaySeconds: 8 } },
      '#/restartPolicy/maxDelaySeconds',
    ],
    ['an unknown way to restart', { restartPolicy: { mode: 'sometimes' } }, '#/restartPolicy/mode'],
    ['an unknown end', { whenControlPlaneLost: 'panic' }, '#/whenControlPlaneLost'],
    ['a privileged native workload', { privileged: true }, '#/privileged'],
    ['an unknown member', { replicas: 2 }, '#/replicas'],
  ])('with %s is refused', async (_, more, pointer) => {
    const { status, body } = await put({ ...RUNNING, ...more });
    expect([status, body.errors?.map((fault: { pointer: string }) => fault.pointer)]).toEqual([
      422,
      [pointer],
    ]);
    expect(JSON.stringify(body)).not.toContain('hunter2');
  });

  it.each<[string, object]>([
    ['exec', { command: ['/bin/probe', '--quick', 'a b'] }],
    ['http', { url: 'http://127.0.0.1:7000/healthz?full=1' }],
    ['tcp', { port: 65_535 }],
  ])('takes a health check of the type %s', async (type, more) => {
    const healthCheck = { type, ...more, intervalSeconds: 1, timeoutSeconds: 1, failureThreshold: 1 };
    expect((await put({ ...RUNNING, healthCheck })).body.healthCheck).toEqual(healthCheck);
  });

  it.each<[string, object, string | null]>([
    ['synthetic.echo', { protocol: 'http', host: '127.0.0.1', port: 0, 'x-owner': ['team', 1] }, null],
    ['synthetic.echo', {}, null],
    ['synthetic.echo', { protocol: 'udp' }, '#/config/protocol'],
    ['synthetic.echo', { port: '7000' }, '#/config/port'],
    ['synthetic.echo', { prot: 'tcp' }, '#/config/prot'],
    ['vpn-exit', { anything: { goes: true } }, null],
  ])('of the type %s with the configuration %j', async (serviceType, config, pointer) => {
    const { status, body } = await put({ ...RUNNING, config }, serviceType);
    if (pointer === null) expect([status < 300, body.config]).toEqual([true, config]);
    else expect([status, body.errors[0].pointer]).toEqual([422, pointer]);
  });
});

describe('a role', () => {
  beforeEach(freshNode);

  const wanted = async (serviceType = 'vpn-exit') => {
    const { status, body } = await put(RUNNING, serviceType);
    return status < 300 ? status : body.code;
  };

  it('must cover the service type', async () => {
    expect([await wanted(), await wanted('synthetic.echo')]).toEqual(['role_required', 'role_required']);
    await assign('ssh-worker');
    expect([await wanted(), await wanted('made-up'), await wanted('synthetic.echo')]).toEqual([
      'role_required',
      'role_required',
      201,
    ]);
    await assign();
    expect(await wanted()).toBe(201);
  });

  it('must be active: not disabled, and not over', async () => {
    const id = await assign();
    await api.post(`/clusters/${node.clusterId}/role-assignments/${id}/disable`);
    expect(await wanted()).toBe('role_required');
    const other = await assign('ssh-worker', { validFrom: '2099-01-01T00:00:00Z' });
    expect(await wanted('ssh-worker')).toBe(201);
    await controlPlane.database.query(
      'UPDATE node_role_assignments SET valid_from = NULL, valid_until = now() - make_interval(secs => 0.001) WHERE id = $1',
      [other],
    );
    expect(await wanted('ssh-worker')).toBe('role_required');
  });

  it('that goes takes the workload from the snapshot, and leaves it wanted until it is back', async () => {
    const id = await assign();
    await put();
    await report({ reportedState: 'stopped' });
    expect((await get()).outOfSyncReason).toBe('state_differs');
    const assignment = `/clusters/${node.clusterId}/role-assignments/${id}`;
    await api.post(`${assignment}/disable`);
    expect((await snapshot()).workloads).toEqual([]);
    expect(await get()).toMatchObject({
      desiredState: 'running',
      effective: false,
      ineffectiveReason: 'role_not_effective',
      inSync: false,
      outOfSyncReason: 'role_not_effective',
    });
    await api.post(`${assignment}/enable`);
    expect((await snapshot()).workloads).toMatchObject([{ serviceType: 'vpn-exit' }]);
    await (await node.api()).put('/node-agents/me/capabilities', { capabilities: [], facts: {} });
    expect((await snapshot()).workloads).toEqual([]);
    expect((await get()).outOfSyncReason).toBe('role_not_effective');
  });

  it('that only begins later brings the workload along, for the agent to start at its instant', async () => {
    await assign('vpn-exit', { validFrom: '2099-01-01T00:00:00Z' });
    await put();
    expect((await snapshot()).workloads).toMatchObject([{ serviceType: 'vpn-exit' }]);
    expect(await get()).toMatchObject({ effective: false, outOfSyncReason: 'role_not_effective' });
  });
});

describe('a privileged container', () => {
  const PRIVILEGED = { ...RUNNING, runtime: 'container', privileged: true };
  beforeEach(freshExit);

  it('needs a credential made for high-risk work, and the refusal is recorded', async () => {
    const careless = await tokenWith(['workloads.update']);
    expect((await put(RUNNING, 'vpn-exit', careless)).status).toBe(201);
    const refused = await put(PRIVILEGED, 'vpn-exit', careless);
    expect([refused.status, refused.body.code]).toEqual([403, 'high_risk_credential_required']);
    const denied = await api.get(`/audit/events?clusterId=${node.clusterId}&action=operation.denied`);
    expect(denied.body.items).toMatchObject([
      { resource: { id: 'putWorkload' }, highRisk: true, reason: 'high_risk_credential_required' },
    ]);
    const planned = await careless.put(`${path}/workloads/vpn-exit?dryRun=true`, PRIVILEGED);
    expect([planned.status, planned.body.result.privileged]).toEqual([200, true]);
    expect((await get()).privileged).toBe(false);
  });

  it('is kept with who approved it and when, each time that it changes', async () => {
    const careful = await tokenWith(['workloads.update'], { highRisk: true });
    const first = await put(PRIVILEGED, 'vpn-exit', careful);
    expect(first.body).toMatchObject({
      privileged: true,
      privilegedApprovedBy: { type: 'api_token' },
      privilegedApprovedAt: first.body.updatedAt,
    });
    expect((await snapshot()).workloads).toMatchObject([{ privileged: true }]);
    expect((await put(PRIVILEGED)).body).toEqual(first.body);
    const changed = await put({ ...PRIVILEGED, version: '2' });
    expect(changed.body.privilegedApprovedBy).toEqual({ type: 'bootstrap', id: 'bootstrap' });
    expect(await put({ ...RUNNING, runtime: 'container' })).toMatchObject({
      body: { privileged: false, privilegedApprovedBy: null, privilegedApprovedAt: null },
    });
    expect((await events()).map(({ highRisk }: { highRisk: boolean }) => highRisk)).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe('deleting a workload', () => {
  beforeEach(freshExit);

  it('takes it from the snapshot and forgets it', async () => {
    await put(FULL);
    expect((await api.delete(`${path}/workloads/vpn-exit`)).status).toBe(204);
    expect((await snapshot()).workloads).toEqual([]);
    expect((await api.get(`${path}/workloads/vpn-exit`)).status).toBe(404);
    expect((await api.delete(`${path}/workloads/vpn-exit`)).status).toBe(404);
    expect(await events()).toMatchObject([
      { action: 'workload.deleted', before: FULL, after: null },
      { action: 'workload.created' },
    ]);
    expect((await put()).status).toBe(201);
  });

  it('shows it as not desired while its agent reports it, and it can be wanted again', async () => {
    await put(FULL);
    await report({ reportedState: 'running', version: '1.4.2' });
    expect((await get()).inSync).toBe(true);
    expect((await api.delete(`${path}/workloads/vpn-exit`)).status).toBe(204);
    expect(await get()).toMatchObject({
      desiredState: null,
      runtime: null,
      version: null,
      config: {},
      restartPolicy: null,
      updatedAt: null,
      reportedState: 'running',
      reportedVersion: '1.4.2',
      inSync: false,
      outOfSyncReason: 'not_desired',
    });
    expect((await api.delete(`${path}/workloads/vpn-exit`)).status).toBe(404);
    const again = await put();
    expect([again.status, again.body.inSync]).toEqual([201, true]);
  });

  it.each(['before it', 'after it'])(
    'does not lose a report that comes at the same time, %s',
    async (order) => {
      await put();
      const session = await openSecondSession(controlPlane);
      const calls = [
        () => api.delete(`${path}/workloads/vpn-exit`),
        () => report({ reportedState: 'running' }),
      ] as const;
      const [first, second] = order === 'after it' ? calls : [calls[1], calls[0]];
      try {
        // Both wait for the row, one behind the other.
        await session.query('BEGIN');
        await session.query('SELECT 1 FROM node_service_instances WHERE node_id = $1 FOR UPDATE', [
          node.nodeId,
        ]);
        const answers = [first()];
        await session.untilWaiting(1);
        answers.push(second());
        await session.untilWaiting(2);
        await session.query('COMMIT');
        expect(countByStatus(await Promise.all(answers))).toEqual({ 200: 1, 204: 1 });
      } finally {
        await session.end();
      }
      expect(await get()).toMatchObject({ desiredState: null, reportedState: 'running' });
      expect((await snapshot()).workloads).toEqual([]);
    },
  );
});

describe('the membership', () => {
  beforeEach(async () => {
    await freshExit();
    await put();
  });

  it('that is disabled has no workloads in its snapshot, and keeps what is wanted', async () => {
    await api.post(`${path}/disable`);
    expect((await snapshot()).workloads).toEqual([]);
    expect(await get()).toMatchObject({ effective: false, outOfSyncReason: 'membership_disabled' });
    expect((await put({ ...RUNNING, version: '2' })).status).toBe(200);
    await api.post(`${path}/enable`);
    expect((await snapshot()).workloads).toMatchObject([{ version: '2' }]);
  });

  it('that is revoked takes no change, is in no list of the cluster, and still shows what was wanted', async () => {
    await api.post(`${path}/revoke`, { reason: 'Stolen.' });
    expect((await put()).body.code).toBe('membership_revoked');
    expect((await api.delete(`${path}/workloads/vpn-exit`)).body.code).toBe('membership_revoked');
    expect(await get()).toMatchObject({ desiredState: 'running', ineffectiveReason: 'membership_revoked' });
    const list = async (query = '') =>
      (await api.get(`/clusters/${node.clusterId}/workloads${query}`)).body.items.length;
    expect([await list(), await list(`?nodeId=${node.nodeId}`)]).toEqual([0, 1]);
    expect((await api.get(`${path}/workloads`)).body.items).toHaveLength(1);
    expect((await api.get(`/clusters/${node.clusterId}/summary`)).body.workloads.unknown).toBe(0);
  });

  it('that ended leaves a cluster that can be archived, and takes no change then', async () => {
    await api.post(`${path}/revoke`, { reason: 'Stolen.' });
    expect((await api.delete(`/clusters/${node.clusterId}`)).status).toBe(204);
    expect((await put()).body.code).toBe('cluster_archived');
    expect((await api.get(`${path}/workloads/vpn-exit`)).status).toBe(200);
  });

  it('must exist', async () => {
    const elsewhere = await admittedNode(controlPlane);
    const wrong = `/clusters/${node.clusterId}/nodes/${elsewhere.nodeId}/workloads`;
    const answers = [
      await api.put(`${wrong}/vpn-exit`, RUNNING),
      await api.get(`${wrong}/vpn-exit`),
      await api.delete(`${wrong}/vpn-exit`),
      await api.get(wrong),
      await api.get(`${wrong}/vpn-exit/history`),
      await api.get(`${wrong}/vpn-exit/logs`),
      await api.put(`${path}/workloads/VPN_Exit`, RUNNING),
      await api.get(`${path}/workloads/${'a'.repeat(64)}`),
    ];
    expect(countByStatus(answers)).toEqual({ 404: answers.length });
  });
});

describe('listing workloads', () => {
  beforeEach(freshExit);

  it('filters, pages and reads a whole cluster as one list', async () => {
    const other = await admittedNode(controlPlane, node.clusterId, { capabilities: ['can_run_vpn_exit'] });
    await assign('ssh-worker');
    await assign('vpn-exit', {}, other);
    await put();
    await put({ ...RUNNING, version: '2' }, 'ssh-worker');
    await put({ ...RUNNING, desiredState: 'stopped' }, 'synthetic.echo');
    await api.put(`${at(other)}/workloads/vpn-exit`, RUNNING);
    await report({ reportedState: 'running' });
    await report({ reportedState: 'running', version: '1' }, 'ssh-worker');
    await report({ reportedState: 'stopped' }, 'stray');
    const names = new Map([
      [node.nodeId, ''],
      [other.nodeId, 'other/'],
    ]);
    const list = async (query: string, of = `/clusters/${node.clusterId}/workloads`) =>
      (await api.get(`${of}?${query}`)).body.items.map(
        ({ nodeId, serviceType }: { nodeId: string; serviceType: string }) =>
          `${names.get(nodeId)}${serviceType}`,
      );
    const all = ['stray', 'other/vpn-exit', 'synthetic.echo', 'ssh-worker', 'vpn-exit'];
    expect(await list('')).toEqual(all);
    expect(await list(`nodeId=${other.nodeId}`)).toEqual(['other/vpn-exit']);
    expect(await list('serviceType=vpn-exit')).toEqual(['other/vpn-exit', 'vpn-exit']);
    expect(await list('reportedState=running')).toEqual(['ssh-worker', 'vpn-exit']);
    expect(await list('reportedState=unknown&serviceType=vpn-exit')).toEqual(['other/vpn-exit']);
    expect(await list('inSync=true')).toEqual(['vpn-exit']);
    expect(await list('inSync=false')).toEqual(all.slice(0, 4));
    expect(await list('inSync=false', `${path}/workloads`)).toEqual([
      'stray',
      'synthetic.echo',
      'ssh-worker',
    ]);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = `limit=2&inSync=false${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const { body } = await api.get(`/clusters/${node.clusterId}/workloads?${query}`);
      seen.push(...body.items.map(({ serviceType }: { serviceType: string }) => serviceType));
      cursor = body.nextCursor;
    }
    expect(seen).toEqual(['stray', 'vpn-exit', 'synthetic.echo', 'ssh-worker']);
    for (const bad of ['inSync=yes', 'reportedState=dead', 'serviceType=A', 'nodeId=x', 'other=1'])
      expect((await api.get(`/clusters/${node.clusterId}/workloads?${bad}`)).status).toBe(400);
  });

  it('counts in the summary what is reported, and what is not as it should be', async () => {
    await put();
    await put({ ...RUNNING, desiredState: 'stopped' }, 'synthetic.echo');
    await report({ reportedState: 'running' });
    await report({ reportedState: 'running' }, 'synthetic.echo');
    await report({ reportedState: 'stopped' }, 'stray');
    expect((await api.get(`/clusters/${node.clusterId}/summary`)).body.workloads).toEqual({
      unknown: 0,
      starting: 0,
      running: 2,
      degraded: 0,
      stopping: 0,
      stopped: 0,
      failed: 0,
      unsupported: 0,
      outOfSync: 1,
      notDesired: 1,
    });
  });
});

describe('permissions', () => {
  it('to read, to change, to take away and to read logs are four', async () => {
    await freshExit();
    await put();
    await report({ reportedState: 'running', logTail: 'x' });
    const calls = (as: Api) => [
      as.get(`${path}/workloads/vpn-exit`),
      as.put(`${path}/workloads/vpn-exit`, RUNNING),
      as.get(`${path}/workloads/vpn-exit/logs`),
      as.delete(`${path}/workloads/vpn-exit`, undefined, { 'if-match': '"other"' }),
    ];
    const statuses = async (permission: string) =>
      (await Promise.all(calls(await tokenWith([permission])))).map(({ status }) => status);
    expect(await statuses('workloads.read')).toEqual([200, 403, 403, 403]);
    expect(await statuses('workloads.update')).toEqual([403, 200, 403, 403]);
    expect(await statuses('workloads.read_logs')).toEqual([403, 403, 200, 403]);
    expect(await statuses('workloads.delete')).toEqual([403, 403, 403, 412]);
    expect((await Promise.all(calls(await node.api()))).map(({ status }) => status)).toEqual([
      403, 403, 403, 403,
    ]);
  });
});

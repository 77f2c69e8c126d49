import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { collectLog } from '../support/log-lines.js';
import { openSecondSession } from '../support/second-session.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let api: Api;
let clusterId: string;
let path: string;
let nodes: TestNode[];
beforeAll(async () => {
  plane = await startControlPlane();
  ({ api } = plane);
  clusterId = (await given(plane).cluster()).id;
  nodes = await Promise.all([1, 2, 3].map(() => admittedNode(plane, clusterId)));
  path = `/clusters/${clusterId}/vpn-connections`;
});
afterAll(() => plane?.close());

const ids = () => nodes.map(({ nodeId }) => nodeId).sort();
const nodeId = (index: number): string => ids()[index] ?? '';
const body = (more: Record<string, unknown> = {}) => ({
  name: unique('exit'),
  kind: 'exit',
  desiredState: 'enabled',
  ...more,
});
const make = async (more: Record<string, unknown> = {}) =>
  created(await api.post(path, body(more))) as Record<string, unknown> & { id: string };
const pointers = ({ body: { errors } }: Answer) =>
  (errors as { pointer: string }[]).map(({ pointer }) => pointer);
const refusal = ({ status, body: { code } }: Answer) => ({ status, code });

async function eventsOf(id: string) {
  return plane.database.query<{ action: string; before: unknown; after: Record<string, unknown> }>(
    'SELECT action, before, after FROM audit_events WHERE resource_id = $1 ORDER BY id',
    [id],
  );
}

describe('a VPN connection', () => {
  it('is made with defaults, read, listed and told of', async () => {
    const answer = await api.post(path, body({ name: 'Exit 1' }));
    expect(answer.status).toBe(201);
    const { id } = answer.body;
    expect(answer.headers.get('location')).toBe(`/api/v1${path}/${id}`);
    expect(answer.body).toEqual({
      id,
      clusterId,
      organizationId: null,
      name: 'Exit 1',
      kind: 'exit',
      desiredState: 'enabled',
      hasCredentialRef: false,
      leaseTtlSeconds: 30,
      allowedNodeIds: [],
      preferredNodeIds: [],
      failbackPolicy: { mode: 'never' },
      routePolicies: [],
      warnings: [{ code: 'no_allowed_nodes', pointer: '#/allowedNodeIds', message: expect.any(String) }],
      createdAt: answer.body.updatedAt,
      updatedAt: expect.any(String),
    });
    const read = await api.get(`${path}/${id}`);
    expect(read.body).toEqual(answer.body);
    expect(read.headers.get('etag')).toBe(answer.headers.get('etag'));
    expect((await api.get(path)).body.items[0]).toEqual(answer.body);
    expect((await eventsOf(id)).map(({ action }) => action)).toEqual(['vpn_connection.created']);
  });

  it('keeps its allowed nodes once and sorted, and its preferred ones in their order', async () => {
    const made = await make({
      allowedNodeIds: [nodeId(2), nodeId(0), nodeId(2), nodeId(1).toUpperCase()],
      preferredNodeIds: [nodeId(2), nodeId(0)],
      failbackPolicy: { mode: 'after_stable_seconds', seconds: 60 },
    });
    expect(made).toMatchObject({
      allowedNodeIds: ids(),
      preferredNodeIds: [nodeId(2), nodeId(0)],
      failbackPolicy: { mode: 'after_stable_seconds', seconds: 60 },
      warnings: [],
    });
    const turned = await api.patch(`${path}/${made.id}`, {
      preferredNodeIds: [nodeId(0), nodeId(1), nodeId(2)],
    });
    expect(turned.body.preferredNodeIds).toEqual([nodeId(0), nodeId(1), nodeId(2)]);
  });

  it.each<[string, Record<string, unknown>, string[]]>([
    ['a name that is missing', { name: undefined }, ['#/name']],
    ['a desired state that is missing', { desiredState: undefined }, ['#/desiredState']],
    ['another kind', { kind: 'tunnel' }, ['#/kind']],
    ['a TTL below 5 s', { leaseTtlSeconds: 4 }, ['#/leaseTtlSeconds']],
    ['a TTL above an hour', { leaseTtlSeconds: 3601 }, ['#/leaseTtlSeconds']],
    ['a preferred node that is not allowed', { preferredNodeIds: [randomUUID()] }, ['#/preferredNodeIds/0']],
    [
      'a failback without its seconds',
      { failbackPolicy: { mode: 'after_stable_seconds' } },
      ['#/failbackPolicy/seconds'],
    ],
    ['a reference with a line break', { credentialRef: 'a\nb' }, ['#/credentialRef']],
    ['an unknown member', { credentialref: 'x' }, ['#/credentialref']],
  ])('is refused with %s', async (_, more, expected) => {
    const answer = await api.post(path, body(more));
    expect(refusal(answer)).toEqual({ status: 422, code: 'invalid_request' });
    expect(pointers(answer)).toEqual(expected);
  });

  it('is refused for nodes that are no live members, each by its place', async () => {
    const revoked = await admittedNode(plane, clusterId);
    const stranger = await admittedNode(plane);
    await api.post(`/clusters/${clusterId}/nodes/${revoked.nodeId}/revoke`, { reason: 'Gone.' });
    const allowedNodeIds = [nodeId(0), revoked.nodeId, stranger.nodeId];
    const answer = await api.post(path, body({ allowedNodeIds }));
    expect(refusal(answer)).toEqual({ status: 422, code: 'node_not_member' });
    expect(pointers(answer)).toEqual(['#/allowedNodeIds/1', '#/allowedNodeIds/2']);
    const { id } = await make();
    const put = await api.put(`${path}/${id}/allowed-nodes`, { nodeIds: [stranger.nodeId] });
    expect(pointers(put)).toEqual(['#/nodeIds/0']);
  });

  it('keeps an allowed node that was revoked, so that a list can be sent back as it was read', async () => {
    const leaving = await admittedNode(plane, clusterId);
    const made = await make({ allowedNodeIds: [leaving.nodeId] });
    await api.post(`/clusters/${clusterId}/nodes/${leaving.nodeId}/revoke`, { reason: 'Gone.' });
    const put = await api.put(`${path}/${made.id}/allowed-nodes`, { nodeIds: [leaving.nodeId, nodeId(0)] });
    expect(put.body.allowedNodeIds).toEqual([leaving.nodeId, nodeId(0)].sort());
  });

  it('is changed by merge, and says in the log only what changed', async () => {
    const { id } = await make({ allowedNodeIds: ids(), preferredNodeIds: [nodeId(1)] });
    const answer = await api.patch(`${path}/${id}`, {
      name: 'New',
      failbackPolicy: { mode: 'after_stable_seconds', seconds: 5 },
    });
    expect(answer.body).toMatchObject({ name: 'New', failbackPolicy: { seconds: 5 }, allowedNodeIds: ids() });
    const never = await api.patch(`${path}/${id}`, { failbackPolicy: { mode: 'never' } });
    expect(never.body.failbackPolicy).toEqual({ mode: 'never' });
    const fewer = await api.put(`${path}/${id}/allowed-nodes`, { nodeIds: [nodeId(0)] });
    expect(fewer.body).toMatchObject({ allowedNodeIds: [nodeId(0)], preferredNodeIds: [] });
    const [, first, second, third] = await eventsOf(id);
    expect(first?.after).toEqual({
      name: 'New',
      failbackPolicy: { mode: 'after_stable_seconds', seconds: 5 },
    });
    expect(second?.after).toEqual({ failbackPolicy: { mode: 'never' } });
    expect(third?.before).toEqual({ allowedNodeIds: ids(), preferredNodeIds: [nodeId(1)] });
  });

  it('is not changed by what it is already, nor by an old revision', async () => {
    const made = await make({ routePolicies: [{ cidr: '2001:DB8::/32', action: 'deny', priority: 3 }] });
    const before = await api.get(`${path}/${made.id}`);
    const same = await api.patch(`${path}/${made.id}`, { name: made.name });
    expect(same.headers.get('etag')).toBe(before.headers.get('etag'));
    await api.patch(`${path}/${made.id}`, { name: 'New' });
    const stale = { 'if-match': before.headers.get('etag') ?? '' };
    for (const answer of [
      await api.patch(`${path}/${made.id}`, { name: 'Old' }, stale),
      await api.put(`${path}/${made.id}/allowed-nodes`, { nodeIds: [] }, stale),
      await api.put(`${path}/${made.id}/route-policies`, { routePolicies: [] }, stale),
      await api.delete(`${path}/${made.id}`, undefined, stale),
    ])
      expect(refusal(answer)).toEqual({ status: 412, code: 'precondition_failed' });
    expect((await eventsOf(made.id)).map(({ action }) => action)).toEqual([
      'vpn_connection.created',
      'vpn_connection.updated',
    ]);
  });

  it('that is deleted is gone for everybody and keeps its row', async () => {
    const { id } = await make({ allowedNodeIds: ids(), credentialRef: 'vault:x' });
    expect((await api.delete(`${path}/${id}`)).status).toBe(204);
    for (const call of ['get', 'delete'] as const)
      expect((await api[call](`${path}/${id}`)).status).toBe(404);
    expect((await api.patch(`${path}/${id}`, { name: 'x' })).status).toBe(404);
    expect((await api.get(path)).body.items.map((item: { id: string }) => item.id)).not.toContain(id);
    const rows = await plane.database.query(
      'SELECT credential_ref, deleted_at FROM vpn_connections WHERE id = $1',
      [id],
    );
    expect(rows).toEqual([{ credential_ref: null, deleted_at: expect.any(Date) }]);
    await expect(
      plane.database.query('UPDATE vpn_connections SET deleted_at = NULL WHERE id = $1', [id]),
    ).rejects.toMatchObject({ constraint: 'vpn_connections_deleted_is_final' });
  });

  it('is shown in its cluster alone', async () => {
    const { id } = await make();
    const other = (await given(plane).cluster()).id;
    expect((await api.get(`/clusters/${other}/vpn-connections/${id}`)).status).toBe(404);
    expect((await api.get(`${path}/nonsense`)).status).toBe(404);
    const foreign = await api.put(`/clusters/${other}/vpn-connections/${id}/route-policies`, {
      routePolicies: [],
    });
    expect(foreign.status).toBe(404);
  });

  it('can be changed by twenty at once, one after the other', async () => {
    const { id } = await make();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0
          ? api.put(`${path}/${id}/allowed-nodes`, { nodeIds: [nodeId(index % 3)] })
          : api.patch(`${path}/${id}`, { allowedNodeIds: ids(), preferredNodeIds: [nodeId(index % 3)] }),
      ),
    );
    expect(countByStatus(answers)).toEqual({ 200: 20 });
  });
});

describe('a list of VPN connections', () => {
  it('filters and pages', async () => {
    const own = (await given(plane).cluster()).id;
    const node = await admittedNode(plane, own);
    const organizationId = randomUUID();
    const at = `/clusters/${own}/vpn-connections`;
    const one = (await given(plane).vpnConnection(own, { kind: 'connector', organizationId })).id;
    const two = (await given(plane).vpnConnection(own, { desiredState: 'disabled' })).id;
    const three = (await given(plane).vpnConnection(own, { allowedNodeIds: [node.nodeId] })).id;
    const shown = async (query: string) =>
      (await api.get(`${at}?${query}`)).body.items.map(({ id }: { id: string }) => id);
    expect(await shown('')).toEqual([three, two, one]);
    expect(await shown('kind=connector')).toEqual([one]);
    expect(await shown('desiredState=disabled')).toEqual([two]);
    expect(await shown(`organizationId=${organizationId}`)).toEqual([one]);
    expect(await shown(`nodeId=${node.nodeId}`)).toEqual([three]);
    const first = await api.get(`${at}?limit=2`);
    expect(await shown(`limit=2&cursor=${first.body.nextCursor}`)).toEqual([one]);
  });
});

describe('route policies', () => {
  const put = async (routePolicies: unknown) => {
    const { id } = await make();
    return api.put(`${path}/${id}/route-policies`, { routePolicies });
  };

  it('are kept in their order, each network in its one spelling', async () => {
    const answer = await put([
      { cidr: '2001:0DB8:0:0::/32', action: 'allow', priority: 200 },
      { cidr: '192.0.2.7/32', action: 'deny', priority: 100 },
    ]);
    expect(answer.status).toBe(200);
    expect(answer.body.routePolicies).toEqual([
      { cidr: '2001:db8::/32', action: 'allow', priority: 200 },
      { cidr: '192.0.2.7/32', action: 'deny', priority: 100 },
    ]);
  });

  it.each<[string, string[], string[]]>([
    ['with bits beyond the prefix', ['10.0.0.0/8', '10.0.0.1/8'], ['#/routePolicies/1/cidr']],
    ['with IPv6 bits beyond the prefix', ['2001:db8::1/64'], ['#/routePolicies/0/cidr']],
    ['without a prefix', ['10.0.0.0'], ['#/routePolicies/0/cidr']],
    [
      'that are no networks',
      ['10.0.0.0/33', '2001:db8::/129', 'x/8', '10.0.0/8'],
      [0, 1, 2, 3].map((at) => `#/routePolicies/${at}/cidr`),
    ],
    ['twice', ['10.0.0.0/8', '10.0.0.0/8'], ['#/routePolicies/1/cidr']],
    ['twice in two spellings', ['2001:db8::/32', '2001:DB8:0::/32'], ['#/routePolicies/1/cidr']],
  ])('are refused %s', async (_, cidrs, expected) => {
    const answer = await put(cidrs.map((cidr) => ({ cidr, action: 'allow', priority: 1 })));
    expect(refusal(answer)).toEqual({ status: 422, code: 'invalid_request' });
    expect(pointers(answer)).toEqual(expected);
  });

  it('are refused where one allows and denies a network at one priority', async () => {
    const answer = await put([
      { cidr: '10.0.0.0/8', action: 'allow', priority: 1 },
      { cidr: '10.0.0.0/8', action: 'deny', priority: 1 },
    ]);
    expect(answer.body.errors).toEqual([
      {
        pointer: '#/routePolicies/1/cidr',
        message: expect.stringContaining('Contradicts #/routePolicies/0'),
      },
    ]);
  });

  it('that overlap are taken with a warning each', async () => {
    const answer = await put([
      { cidr: '10.1.0.0/16', action: 'deny', priority: 1 },
      { cidr: '10.0.0.0/8', action: 'allow', priority: 1 },
      { cidr: '10.0.0.0/8', action: 'deny', priority: 2 },
      { cidr: '2001:db8:1::/48', action: 'allow', priority: 1 },
      { cidr: '::/0', action: 'deny', priority: 9 },
      { cidr: '192.0.2.0/24', action: 'allow', priority: 1 },
    ]);
    const overlaps = answer.body.warnings.filter(({ code }: { code: string }) => code === 'routes_overlap');
    expect(overlaps.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '#/routePolicies/0',
      '#/routePolicies/2',
      '#/routePolicies/3',
    ]);
    expect(overlaps[0].message).toContain(
      'deny 10.1.0.0/16 at priority 1 overlaps with allow 10.0.0.0/8 at priority 1',
    );
  });

  it('have the database as their last referee', async () => {
    const { id } = await make();
    const insert = (cidr: string, position: number) =>
      plane.database.query(
        `INSERT INTO vpn_connection_route_policies (connection_id, position, priority, cidr, action) VALUES ($1, $2, 1, $3, 'allow')`,
        [id, position, cidr],
      );
    await expect(insert('10.0.0.1/8', 0)).rejects.toMatchObject({ code: '22P02' });
    await insert('10.0.0.0/8', 0);
    await expect(insert('10.0.0.0/8', 1)).rejects.toMatchObject({
      constraint: 'vpn_connection_route_policies_once',
    });
  });
});

describe('the reference to the credentials', () => {
  const canary = `vault:canary-${randomUUID()}`;

  it('never leaves its column: no answer, log, event, dry run or error has it', async () => {
    const log = collectLog(plane, 'trace');
    const answers: Answer[] = [];
    const say = async (answer: Promise<Answer>) => {
      answers.push(await answer);
      return answers.at(-1) as Answer;
    };
    const key = { 'idempotency-key': unique('key') };
    const made = await say(api.post(path, body({ credentialRef: canary, allowedNodeIds: ids() }), key));
    const at = `${path}/${made.body.id}`;
    expect(made.body.hasCredentialRef).toBe(true);
    await say(api.post(path, body({ credentialRef: canary })));
    await say(api.post(`${path}?dryRun=true`, body({ credentialRef: canary })));
    await say(api.patch(`${at}?dryRun=true`, { credentialRef: canary }));
    await say(api.patch(at, { credentialRef: canary }));
    await say(api.patch(at, { credentialRef: `${canary}\n` }));
    await say(api.patch(at, { credentialRef: [canary] }));
    await say(api.patch(at, { credentialRef: canary.padEnd(600, 'x') }));
    await say(api.patch(at, { credentialRef: canary, kind: 'none' }));
    await say(api.patch(at, { credentialRef: canary }, { 'if-match': '"old"' }));
    await say(api.patch(at, `{ "credentialRef": "${canary}"`, { 'content-type': 'application/json' }));
    await say(api.patch(at, { credentialRef: canary }, { 'x-plan-hash': 'A'.repeat(43) }));
    await say(api.get(at));
    await say(api.get(path));
    await say(api.get(`/audit/events?resourceId=${made.body.id}`));
    await say(api.get(`/clusters/${clusterId}/nodes/${nodeId(0)}/snapshot`));
    expect(answers.map(({ status }) => status)).toContain(422);
    expect(answers.filter(({ body: text }) => JSON.stringify(text).includes('canary'))).toEqual([]);
    expect(log.filter((line) => JSON.stringify(line).includes('canary'))).toEqual([]);

    const everywhere = await openSecondSession(plane);
    const columns = await everywhere.query<{ table: string; column: string }>(
      `SELECT c.oid::regclass::text AS table, a.attname AS column FROM pg_class AS c
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'bullmq'::regnamespace)`,
    );
    const found: string[] = [];
    for (const { table, column } of columns) {
      const rows = await everywhere.query(
        `SELECT 1 FROM ${table} AS t WHERE strpos(t."${column}"::text, $1) > 0
            OR strpos(t."${column}"::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0 LIMIT 1`,
        [canary],
      );
      if (rows.length > 0) found.push(`${table}.${column}`);
    }
    await everywhere.end();
    expect(columns.length).toBeGreaterThan(200);
    expect(found).toEqual(['vpn_connections.credential_ref']);
  });

  it('is only said to have been set or removed, the same one again too', async () => {
    const { id } = await make();
    for (const credentialRef of [canary, canary, null, null])
      created(await api.patch(`${path}/${id}`, { credentialRef }));
    expect((await api.get(`${path}/${id}`)).body.hasCredentialRef).toBe(false);
    const [, ...events] = await eventsOf(id);
    expect(events.map(({ after }) => after)).toEqual([
      { credentialRef: 'set' },
      { credentialRef: 'set' },
      { credentialRef: 'removed' },
    ]);
  });
});

describe('permissions', () => {
  let as: (permissions: string[]) => Promise<Api>;
  beforeEach(() => {
    as = async (permissions) => {
      const token = await api.post('/api-tokens', { name: unique('t'), permissions, clusterId });
      return api.as((created(token) as { token: string }).token);
    };
  });

  it('are asked for by each call', async () => {
    const { id } = await make();
    const reader = await as(['vpn_connections.read']);
    expect((await reader.get(`${path}/${id}`)).status).toBe(200);
    for (const answer of [
      await reader.post(path, body()),
      await reader.patch(`${path}/${id}`, { name: 'x' }),
      await reader.put(`${path}/${id}/allowed-nodes`, { nodeIds: [] }),
      await reader.put(`${path}/${id}/route-policies`, { routePolicies: [] }),
      await reader.delete(`${path}/${id}`),
    ])
      expect(refusal(answer)).toEqual({ status: 403, code: 'forbidden' });
    expect((await (await as(['vpn_connections.update'])).get(path)).status).toBe(403);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let api: Api;
let clusterId: string;
/** Online, with a role and labels; silent; disabled; revoked. */
let busy: TestNode;
let silent: TestNode;
let disabled: TestNode;
let revoked: TestNode;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
  clusterId = (await given(plane).cluster()).id;
  busy = await admittedNode(plane, clusterId, { name: 'Moscow-1', facts: { hostname: 'mow1.example' } });
  silent = await admittedNode(plane, clusterId);
  disabled = await admittedNode(plane, clusterId);
  revoked = await admittedNode(plane, clusterId);
  created(await (await busy.api()).post('/node-agents/me/heartbeat', busy.heartbeat()));
  created(await api.patch(at(busy), { labels: { site: 'msk', ring: 'canary' } }));
  const role = { nodeId: busy.nodeId, role: 'vpn-exit' };
  created(await api.post(`/clusters/${clusterId}/role-assignments`, role));
  created(await api.post(`${at(disabled)}/disable`));
  created(await api.post(`${at(revoked)}/revoke`, { reason: 'Gone.' }));
});
afterAll(() => plane?.close());

const at = (node: TestNode) => `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
const found = async (query: string): Promise<string[]> => {
  const { items } = created(await api.get(`/clusters/${clusterId}/nodes?${query}`)) as {
    items: { nodeId: string }[];
  };
  return items.map(({ nodeId }) => nodeId);
};
const refusal = ({ status, body }: Answer) => [status, body.code];

describe('the nodes of a cluster', () => {
  it.each<[string, () => string[]]>([
    ['', () => [revoked, disabled, silent, busy].map(({ nodeId }) => nodeId)],
    ['health=online', () => [busy.nodeId]],
    ['health=unknown&membershipStatus=active', () => [silent.nodeId]],
    ['membershipStatus=disabled', () => [disabled.nodeId]],
    ['membershipStatus=revoked', () => [revoked.nodeId]],
    ['role=vpn-exit', () => [busy.nodeId]],
    ['label=ring', () => [busy.nodeId]],
    ['label=ring%3Dcanary', () => [busy.nodeId]],
    ['label=ring%3Dstable', () => []],
    ['q=MOSCOW', () => [busy.nodeId]],
    ['q=mow1.exam', () => [busy.nodeId]],
    ['q=%25', () => []],
    [
      `filter=${encodeURIComponent('health = "online" AND labels.site = "msk" AND role = "vpn-exit"')}`,
      () => [busy.nodeId],
    ],
    [
      `filter=${encodeURIComponent('NOT membershipStatus = "active"')}`,
      () => [revoked.nodeId, disabled.nodeId],
    ],
  ])('are found by "%s"', async (query, expected) => {
    expect(await found(query)).toEqual(expected());
  });

  it('are found by their id, and page by page with the same filter only', async () => {
    expect(await found(`q=${silent.nodeId.toUpperCase()}`)).toEqual([silent.nodeId]);
    const path = `/clusters/${clusterId}/nodes?membershipStatus=active&limit=1`;
    const first = (await api.get(path)).body;
    const second = (await api.get(`${path}&cursor=${first.nextCursor}`)).body;
    expect([...first.items, ...second.items].map(({ nodeId }) => nodeId)).toEqual([
      silent.nodeId,
      busy.nodeId,
    ]);
    expect(second.nextCursor).toBeNull();
    const other = path.replace('active', 'disabled');
    expect(refusal(await api.get(`${other}&cursor=${first.nextCursor}`))).toEqual([400, 'invalid_cursor']);
  });

  it.each(['health=well', 'membershipStatus=gone', 'groupId=x', 'filter=%3D', 'color=red'])(
    'are not listed by "%s"',
    async (query) => {
      expect((await api.get(`/clusters/${clusterId}/nodes?${query}`)).status).toBe(400);
    },
  );
});

describe('changing a node', () => {
  it('answers it as it is then, the number of its snapshot included', async () => {
    const node = await admittedNode(plane, clusterId);
    const answers = [
      await api.patch(at(node), { name: unique('renamed') }),
      await api.post(`${at(node)}/disable`),
      await api.post(`${at(node)}/enable`),
    ];
    expect(answers.map(({ body }) => body.snapshotGeneration)).toEqual([2, 3, 4]);
    const last = await api.get(at(node));
    expect([answers[2]?.body, answers[2]?.headers.get('etag')]).toEqual([
      last.body,
      last.headers.get('etag'),
    ]);
  });

  it('sets name, group, labels and telemetry, with what changed in the audit log, and again changes nothing', async () => {
    const node = await admittedNode(plane, clusterId);
    const group = created(
      await api.post(`/clusters/${clusterId}/node-groups`, { name: unique('group') }),
    ) as { id: string };
    created(await api.patch(at(node), { labels: { a: '1', b: '2' } }));
    const name = unique('renamed');
    const change = { name, groupId: group.id, labels: { a: null, c: '3' }, telemetryEnabled: true };
    const answer = await api.patch(at(node), change);
    const changed = { name, groupId: group.id, labels: { b: '2', c: '3' }, telemetryEnabled: true };
    expect([answer.status, answer.body]).toMatchObject([200, changed]);
    const read = await api.get(at(node));
    expect([answer.body, answer.headers.get('etag')]).toEqual([read.body, read.headers.get('etag')]);
    expect((await api.patch(at(node), change)).body).toEqual(answer.body);
    const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node.updated`)).body;
    expect(items.map(({ after }: { after: unknown }) => after)).toEqual([
      changed,
      { labels: { a: '1', b: '2' } },
    ]);
  });

  it('gives a name to one of the members that are not revoked, also of ten that want it at once', async () => {
    const nodes = await Promise.all(Array.from({ length: 3 }, () => admittedNode(plane, clusterId)));
    const name = unique('wanted');
    const answers = await Promise.all(nodes.map((node) => api.patch(at(node), { name })));
    expect(answers.map(({ status, body }) => body.code ?? status).sort()).toEqual([
      200,
      'node_name_taken',
      'node_name_taken',
    ]);
    const winner = nodes[answers.findIndex(({ status }) => status === 200)] as TestNode;
    const loser = nodes.find((node) => node !== winner) as TestNode;
    created(await api.post(`${at(winner)}/revoke`, { reason: 'Gone.' }));
    expect((await api.patch(at(loser), { name })).status).toBe(200);
  });

  it.each<[string, unknown, string]>([
    ['a name with a space', { name: 'edge 1' }, '#/name'],
    ['an empty name', { name: '' }, '#/name'],
    ['a name of 64 characters', { name: 'x'.repeat(64) }, '#/name'],
    ['what the agent reports', { capabilities: [] }, '#/capabilities'],
    ['a group that there is not', { groupId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' }, '#/groupId'],
  ])('is refused for %s', async (_, body, pointer) => {
    const answer = await api.patch(at(busy), body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
  });

  it('is stopped by a change of what operators set, and not by a heartbeat', async () => {
    const node = await admittedNode(plane, clusterId);
    const etag = async () => (await api.get(at(node))).headers.get('etag') ?? '';
    const read = await etag();
    created(await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat()));
    expect(await etag()).not.toBe(read);
    created(await api.patch(at(node), { labels: { a: '1' } }, { 'if-match': read }));
    const stale = await api.patch(at(node), { labels: { a: '2' } }, { 'if-match': read });
    expect(stale.status).toBe(412);
  });

  it('is over once the membership is revoked', async () => {
    expect(refusal(await api.patch(at(revoked), { labels: {} }))).toEqual([409, 'membership_revoked']);
    for (const action of ['disable', 'enable'])
      expect(refusal(await api.post(`${at(revoked)}/${action}`))).toEqual([409, 'membership_revoked']);
  });
});

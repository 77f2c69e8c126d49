import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MAX_GROUP_DEPTH } from '../../src/modules/nodes/node-group.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { admittedNode } from '../support/test-node.js';

interface Group {
  id: string;
  name: string;
  parentId: string | null;
}

describe('node groups', () => {
  let plane: ControlPlane;
  let api: Api;
  let cluster: { id: string; slug: string };
  beforeAll(async () => {
    plane = await startControlPlane();
    api = plane.api;
    cluster = await given(plane).cluster();
  });
  afterAll(() => plane.close());

  const at = (id = '', clusterId = cluster.id) =>
    `/clusters/${clusterId}/node-groups${id === '' ? '' : `/${id}`}`;
  const group = async (parentId: string | null = null, name = unique('group')): Promise<Group> =>
    created(await api.post(at(), { name, parentId })) as Group;
  /** A chain of groups, each in the one before. */
  const chain = async (length: number): Promise<Group[]> => {
    const groups: Group[] = [];
    for (let level = 0; level < length; level += 1) groups.push(await group(groups.at(-1)?.id ?? null));
    return groups;
  };
  const codes = (answers: readonly Answer[]) =>
    answers.map((answer) => (answer.status < 300 ? answer.status : (answer.body.code as string))).sort();
  const actions = async (id: string) =>
    (await api.get(`/audit/events?resourceId=${id}`)).body.items.map(
      (event: { action: string }) => event.action,
    );
  const as = async (permissions: string[], clusterId?: string) =>
    api.as(
      (
        created(
          await api.post('/api-tokens', {
            name: unique('t'),
            permissions,
            ...(clusterId && { clusterId }),
          }),
        ) as { token: string }
      ).token,
    );

  it('are made, renamed, moved and removed, each with its audit event', async () => {
    const [top, other] = [await group(), await group()];
    const answer = await api.post(at(), { name: 'edge', parentId: top.id });
    expect([answer.status, answer.headers.get('location')]).toEqual([
      201,
      `/api/v1${at()}/${answer.body.id as string}`,
    ]);
    const { id } = answer.body;
    expect(answer.body).toEqual({
      id,
      clusterId: cluster.id,
      name: 'edge',
      parentId: top.id,
      createdAt: expect.stringMatching(/Z$/),
      updatedAt: expect.stringMatching(/Z$/),
    });
    expect((await api.get(at(id))).body).toEqual(answer.body);
    expect((await api.patch(at(id), { name: 'core' })).body).toMatchObject({
      name: 'core',
      parentId: top.id,
    });
    expect((await api.patch(at(id), { parentId: other.id })).body).toMatchObject({
      name: 'core',
      parentId: other.id,
    });
    expect((await api.patch(at(id), { parentId: null })).body).toMatchObject({ parentId: null });
    expect((await api.delete(at(id))).status).toBe(204);
    expect((await api.get(at(id))).status).toBe(404);
    expect(await actions(id)).toEqual([
      'node_group.deleted',
      'node_group.updated',
      'node_group.updated',
      'node_group.updated',
      'node_group.created',
    ]);
    const moved = await api.get(`/audit/events?resourceId=${id}&action=node_group.updated`);
    expect(moved.body.items[1]).toMatchObject({
      before: { parentId: top.id },
      after: { parentId: other.id },
      resource: { type: 'node_group', id, name: 'core' },
    });
  });

  it('are listed newest first, by parent, and page by page', async () => {
    const own = await given(plane).cluster();
    const make = async (body: object) => created(await api.post(at('', own.id), body)) as Group;
    const top = await make({ name: 'top' });
    const [one, two] = [
      await make({ name: 'one', parentId: top.id }),
      await make({ name: 'two', parentId: top.id }),
    ];
    const ids = async (query: string) =>
      (await api.get(`${at('', own.id)}${query}`)).body.items.map((item: Group) => item.id);
    expect(await ids('')).toEqual([two.id, one.id, top.id]);
    expect(await ids(`?parentId=${top.id}`)).toEqual([two.id, one.id]);
    expect(await ids('?parentId=root')).toEqual([top.id]);
    const first = await api.get(`${at('', own.id)}?limit=2`);
    expect(first.body.items).toHaveLength(2);
    expect(await ids(`?limit=2&cursor=${first.body.nextCursor as string}`)).toEqual([top.id]);
    expect((await api.get(`${at('', own.id)}?parentId=nobody`)).body.errors).toEqual([
      { parameter: 'parentId', message: 'Must be the id of a group, or root.' },
    ]);
  });

  it('have names that are unique within their parent only', async () => {
    const [left, right] = [await group(), await group()];
    const inLeft = await group(left.id, 'same');
    const inRight = await group(right.id, 'same');
    expect(codes([await api.post(at(), { name: 'same', parentId: left.id })])).toEqual(['group_name_taken']);
    expect(codes([await api.patch(at(inRight.id), { parentId: left.id })])).toEqual(['group_name_taken']);
    expect(codes([await api.patch(at(inLeft.id), { name: 'other' })])).toEqual([200]);
    expect(codes([await api.patch(at(inRight.id), { parentId: left.id })])).toEqual([200]);
  });

  it('of one name in one place are made by one of ten racing callers', async () => {
    const name = unique('root');
    const answers = await Promise.all(Array.from({ length: 10 }, () => api.post(at(), { name })));
    expect(codes(answers)).toEqual([201, ...Array.from({ length: 9 }, () => 'group_name_taken')]);
  });

  it('refuse a parent that is no group of the cluster', async () => {
    const foreign = created(
      await api.post(at('', (await given(plane).cluster()).id), { name: 'foreign' }),
    ) as Group;
    const own = await group();
    for (const answer of [
      await api.post(at(), { name: 'x', parentId: foreign.id }),
      await api.patch(at(own.id), { parentId: foreign.id }),
    ]) {
      expect([answer.status, answer.body.code, answer.body.errors[0].pointer]).toEqual([
        422,
        'group_not_found',
        '#/parentId',
      ]);
    }
    expect((await api.get(at(foreign.id))).status).toBe(404);
  });

  it('never become their own ancestor', async () => {
    const [top, middle, bottom] = await chain(3);
    for (const parentId of [top?.id, middle?.id, bottom?.id]) {
      const answer = await api.patch(at(top?.id), { parentId });
      expect([answer.status, answer.body.code]).toEqual([409, 'group_cycle']);
    }
    expect((await api.get(at(top?.id))).body.parentId).toBeNull();
  });

  it('form no cycle when moves race that each look right alone', async () => {
    for (let round = 0; round < 5; round += 1) {
      const roots = [await group(), await group(), await group()];
      const answers = await Promise.all(
        roots.map((each, index) =>
          api.patch(at(each.id), { parentId: roots[(index + 1) % roots.length]?.id }),
        ),
      );
      expect(codes(answers)).toEqual([200, 200, 'group_cycle']);
      const parents = await Promise.all(
        roots.map(async (each) => (await api.get(at(each.id))).body.parentId as string | null),
      );
      expect(parents.filter((parentId) => parentId === null)).toHaveLength(1);
    }
  });

  it('lie at most eight levels deep, alone and with what they hold', async () => {
    const levels = await chain(MAX_GROUP_DEPTH);
    const [top, second, third] = levels;
    const tooDeep = await api.post(at(), { name: 'ninth', parentId: levels.at(-1)?.id });
    expect([tooDeep.status, tooDeep.body.code]).toEqual([409, 'group_too_deep']);
    const [root, below] = await chain(2);
    const moveUnder = (parentId: string | undefined) => api.patch(at(root?.id), { parentId });
    expect(codes([await moveUnder(levels.at(-2)?.id)])).toEqual(['group_too_deep']);
    expect(codes([await moveUnder(levels.at(-3)?.id)])).toEqual([200]);
    expect(codes([await api.patch(at(third?.id), { parentId: below?.id })])).toEqual(['group_cycle']);
    expect(codes([await api.patch(at(third?.id), { parentId: top?.id })])).toEqual([200]);
    expect(codes([await api.delete(at(second?.id))])).toEqual([204]);
  });

  it('are removed only when empty; revoked members do not count', async () => {
    const [top, child] = await chain(2);
    expect(codes([await api.delete(at(top?.id))])).toEqual(['node_group_not_empty']);
    const node = await admittedNode(plane, cluster.id);
    const path = `/clusters/${cluster.id}/nodes/${node.nodeId}`;
    created(await api.patch(path, { groupId: child?.id }));
    expect(
      (await api.get(`/clusters/${cluster.id}/nodes?groupId=${top?.id as string}`)).body.items,
    ).toHaveLength(1);
    expect(codes([await api.delete(at(child?.id))])).toEqual(['node_group_not_empty']);
    created(await api.post(`${path}/revoke`, { reason: 'Gone.' }));
    expect(codes([await api.delete(at(child?.id)), await api.delete(at(top?.id))])).toEqual([204, 204]);
    expect((await api.get(path)).body).toMatchObject({ groupId: null, membershipStatus: 'revoked' });
  });

  it('end or hold a node, never both, when filing and removing race', async () => {
    const node = await admittedNode(plane, cluster.id);
    const path = `/clusters/${cluster.id}/nodes/${node.nodeId}`;
    for (let round = 0; round < 5; round += 1) {
      const { id } = await group();
      const [filed, removed] = await Promise.all([api.patch(path, { groupId: id }), api.delete(at(id))]);
      expect([
        [200, 409],
        [422, 204],
      ]).toContainEqual([filed.status, removed.status]);
      created(await api.patch(path, { groupId: null }));
    }
  });

  it('are changed only as they were read, when asked so', async () => {
    const { id } = await group();
    const etag = (await api.get(at(id))).headers.get('etag') ?? '';
    expect((await api.get(at(id), { 'if-none-match': etag })).status).toBe(304);
    const renamed = await api.patch(at(id), { name: unique('renamed') }, { 'if-match': etag });
    expect(renamed.status).toBe(200);
    expect((await api.patch(at(id), { name: 'late' }, { 'if-match': etag })).status).toBe(412);
    expect((await api.delete(at(id), undefined, { 'if-match': etag })).status).toBe(412);
    const now = renamed.headers.get('etag') ?? '';
    expect((await api.delete(at(id), undefined, { 'if-match': now })).status).toBe(204);
  });

  it('change nothing in a dry run, and are refused as they would be', async () => {
    const planned = await api.post(`${at()}?dryRun=true`, { name: 'planned' });
    expect(planned).toMatchObject({
      status: 200,
      body: { dryRun: true, result: { name: 'planned' }, affectedNodes: 0 },
    });
    expect((await api.get(at(planned.body.result.id))).status).toBe(404);
    const [top, child] = await chain(2);
    const cycle = await api.patch(`${at(top?.id)}?dryRun=true`, { parentId: child?.id });
    expect(cycle.body.code).toBe('group_cycle');
  });

  it('leave no event behind when nothing changes', async () => {
    const { id, name } = await group();
    expect((await api.patch(at(id), { name, parentId: null })).status).toBe(200);
    expect(await actions(id)).toEqual(['node_group.created']);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no name', {}, '#/name'],
    ['an empty name', { name: '' }, '#/name'],
    ['a name with a space at its end', { name: 'edge ' }, '#/name'],
    ['a name of 101 characters', { name: 'x'.repeat(101) }, '#/name'],
    ['a parent that is no id', { name: 'edge', parentId: 'top' }, '#/parentId'],
    ['an unknown member', { name: 'edge', color: 'red' }, '#/color'],
  ])('with %s are refused', async (_, body, pointer) => {
    const answer = await api.post(at(), body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer]);
  });

  it('are read and managed with the permissions for it, in the own cluster only', async () => {
    const { id } = await group();
    const reader = await as(['node_groups.read'], cluster.id);
    expect((await reader.get(at(id))).status).toBe(200);
    expect(codes([await reader.post(at(), { name: 'x' }), await reader.delete(at(id))])).toEqual([
      'forbidden',
      'forbidden',
    ]);
    const elsewhere = await as(['node_groups.manage'], (await given(plane).cluster()).id);
    expect((await elsewhere.patch(at(id), { name: 'mine' })).status).toBe(404);
  });

  it('of an archived cluster stay as they are', async () => {
    const archived = await given(plane).cluster();
    const { id } = created(await api.post(at('', archived.id), { name: 'kept' })) as Group;
    created(await api.delete(`/clusters/${archived.id}`));
    expect(codes([await api.patch(at(id, archived.id), { name: 'x' })])).toEqual(['cluster_archived']);
    expect((await api.get(at(id, archived.id))).status).toBe(200);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { canonicalJson } from '../../src/common/json/canonical-json.js';
import { deadlocksOf } from '../support/conflicts.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { Publisher } from '../support/publisher.js';
import { RolloutStage } from '../support/rollouts/stage.js';
import { admittedNode } from '../support/test-node.js';
import { admittedCache, type TestCache } from '../support/update-caches.js';

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Json = any;

let plane: ControlPlane;
let publisher: Publisher;
beforeAll(async () => {
  plane = await startControlPlane();
  publisher = await Publisher.make(plane.api);
});
afterAll(() => plane?.close());

const clusterOf = async () => (await given(plane).cluster()).id;
const snapshot = async (clusterId: string, nodeId: string): Promise<Json> =>
  created(await plane.api.get(`/clusters/${clusterId}/nodes/${nodeId}/snapshot`));
/** All of it but its times: it is issued anew twice a day, for each node at another time. */
const numbered = async (clusterId: string, nodeId: string): Promise<Json> => {
  const { issuedAt: _, expiresAt: __, ...content } = await snapshot(clusterId, nodeId);
  return content;
};
const mirrored = async ({ node }: TestCache): Promise<string[]> =>
  (await snapshot(node.clusterId, node.nodeId)).mirror.files.map(({ sha256 }: Json) => sha256);
const generation = async ({ node }: TestCache): Promise<number> =>
  (await snapshot(node.clusterId, node.nodeId)).generation;
const point = (clusterId: string, channel: string, version: string, product = publisher.product) =>
  plane.api.put(`/clusters/${clusterId}/channels/${product}/${channel}`, { version });
const download = async ({ api }: TestCache, sha256: string) =>
  (await api.get(`/node-agents/me/artifacts/${sha256}`)).status;

describe('what a cache is to mirror', () => {
  it('is what channels point to, by its snapshot alone, and what it may download', async () => {
    const version = `1.0.${Date.now()}`;
    const file = await publisher.release(version);
    const clusterId = await clusterOf();
    const cache = await admittedCache(plane, clusterId);
    const other = await admittedNode(plane, clusterId);
    const before = await numbered(clusterId, other.nodeId);
    expect(await mirrored(cache)).toEqual([]);
    expect(await download(cache, file.sha256)).toBe(404);
    created(await point(clusterId, 'current', version));
    const { mirror } = await snapshot(clusterId, cache.node.nodeId);
    const path = `/api/v1/node-agents/me/artifacts/${file.sha256}`;
    expect(mirror.files).toEqual([
      { product: publisher.product, version, sha256: file.sha256, size: file.size, path },
    ]);
    expect(await numbered(clusterId, other.nodeId)).toEqual(before);
    const answer = await cache.api.get(`/node-agents/me/artifacts/${file.sha256}`);
    expect(answer.status).toBe(200);
    expect(
      (await other.api().then((api) => api.get(`/node-agents/me/artifacts/${file.sha256}`))).status,
    ).toBe(404);
    const explained = created(
      await plane.api.get(`/clusters/${clusterId}/nodes/${cache.node.nodeId}/snapshot/explain`),
    ) as Json;
    const item = explained.items.find(({ pointer }: Json) => pointer === '/mirror/files/0');
    expect(item.summary).toContain('channel');
  });

  it('loses what is blocked in that transaction, and gets it back with the block taken back', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const cache = await admittedCache(plane, stage.clusterId);
    const release = created(await plane.api.get(stage.publisher.path('2.0.0'))) as Json;
    const { sha256 } = release.manifest.artifacts[0];
    const id = await stage.draft();
    expect(await mirrored(cache)).toEqual([]);
    created(await stage.act(id, 'submit'));
    expect(await mirrored(cache)).toEqual([sha256]);
    const before = await generation(cache);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Bad.' }));
    expect([await mirrored(cache), await generation(cache)]).toEqual([[], before + 1]);
    expect(await download(cache, sha256)).toBe(404);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/unblock')));
    expect([await mirrored(cache), await generation(cache)]).toEqual([[sha256], before + 2]);
    expect(await download(cache, sha256)).toBe(200);
    created(await stage.act(id, 'cancel'));
    expect(await mirrored(cache)).toEqual([]);
  });

  it('loses what a channel pointed to when that is blocked, and keeps what the channel goes back to', async () => {
    const clusterId = await clusterOf();
    const cache = await admittedCache(plane, clusterId);
    const [older, newer] = [`2.0.${Date.now()}`, `3.0.${Date.now()}`];
    const files = [await publisher.release(older), await publisher.release(newer)];
    for (const version of [older, newer]) created(await point(clusterId, 'current', version));
    expect(await mirrored(cache)).toEqual([files[1]?.sha256]);
    created(await plane.api.post(publisher.path(newer, '/block'), { reason: 'Bad.' }));
    expect(await mirrored(cache)).toEqual([files[0]?.sha256]);
  });

  it('is for whoever has the role: neither told nor handed out without it', async () => {
    const clusterId = await clusterOf();
    const cache = await admittedCache(plane, clusterId);
    const version = `4.0.${Date.now()}`;
    const { sha256 } = await publisher.release(version);
    created(await point(clusterId, 'current', version));
    expect(await download(cache, sha256)).toBe(200);
    created(await plane.api.post(`${cache.assignment}/disable`));
    expect(await snapshot(clusterId, cache.node.nodeId)).not.toHaveProperty('mirror');
    expect(await download(cache, sha256)).toBe(404);
  });
});

describe('where caches are', () => {
  const near = async (stage: RolloutStage, nodeId: string): Promise<Json[]> =>
    (await snapshot(stage.clusterId, nodeId)).updateCaches;

  it('is told to nodes that have an update, the nearest first, and changes nobody else', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [updating, waiting] = stage.nodes.map(({ id }) => id) as [string, string];
    const cluster = `/clusters/${stage.clusterId}`;
    const group = async (name: string, parentId: string | null) =>
      (created(await plane.api.post(`${cluster}/node-groups`, { name, parentId })) as Json).id as string;
    const file = async (nodeId: string, groupId: string | null) =>
      created(await plane.api.patch(`${cluster}/nodes/${nodeId}`, { groupId }));
    const region = await group(unique('eu'), null);
    const site = await group(unique('ams'), region);
    const [far, here, around] = [
      await admittedCache(plane, stage.clusterId),
      await admittedCache(plane, stage.clusterId),
      await admittedCache(plane, stage.clusterId),
    ];
    await file(updating, site);
    await file(here.node.nodeId, site);
    await file(around.node.nodeId, region);
    await stage.started(
      { waves: [{ name: 'one', selector: { nodeIds: [updating] } }] },
      {
        selector: { nodeIds: [updating] },
      },
    );
    const idle = await numbered(stage.clusterId, waiting);
    expect(await near(stage, updating)).toBeUndefined();
    for (const cache of [far, here, around])
      created(await cache.serve(`https://${cache.node.nodeId}.test:7443`));
    const told = await near(stage, updating);
    expect(told).toEqual(
      [here, around, far].map(({ node }) => ({
        nodeId: node.nodeId,
        url: `https://${node.nodeId}.test:7443`,
        spiffeId: `spiffe://${stage.clusterId}/node/${node.nodeId}`,
      })),
    );
    // Holdings and repeats concern nobody.
    const before = await numbered(stage.clusterId, updating);
    const said = { url: told[0].url, held: ['a'.repeat(64)], usedBytes: 1, capacityBytes: 2, servedFiles: 3 };
    const answer = created(await here.api.put('/node-agents/me/update-cache', said)) as Json;
    expect(answer).toMatchObject({ ...said, nodeId: here.node.nodeId, isTold: true });
    expect(await numbered(stage.clusterId, updating)).toEqual(before);
    // What moves a cache away moves it in the list; what takes its role, or its place, out of it.
    await file(here.node.nodeId, null);
    const ids = async () => (await near(stage, updating)).map(({ nodeId }) => nodeId);
    expect((await ids())[0]).toBe(around.node.nodeId);
    created(await plane.api.patch(`${cluster}/node-groups/${site}`, { parentId: null }));
    expect(await ids()).toHaveLength(3);
    created(await plane.api.post(`${around.assignment}/disable`));
    created(await far.serve(null));
    expect(await ids()).toEqual([here.node.nodeId]);
    created(await plane.api.post(`${cluster}/nodes/${here.node.nodeId}/disable`, { reason: 'A drill.' }));
    expect(await near(stage, updating)).toBeUndefined();
    created(await plane.api.post(`${cluster}/nodes/${here.node.nodeId}/enable`));
    expect(await ids()).toEqual([here.node.nodeId]);
    expect(await numbered(stage.clusterId, waiting)).toEqual(idle);
    const { items } = created(await plane.api.get(`${cluster}/update-caches`)) as Json;
    expect(items.map(({ nodeId, isTold }: Json) => [nodeId, isTold]).sort()).toEqual(
      [
        [far.node.nodeId, false],
        [here.node.nodeId, true],
        [around.node.nodeId, false],
      ].sort(),
    );
  });

  it('is said by members with the role alone, as a URL that leads nowhere else', async () => {
    const cache = await admittedCache(plane);
    const plain = await (await admittedNode(plane, cache.node.clusterId)).api();
    const refused = await plain.put('/node-agents/me/update-cache', { url: 'https://here.test:1' });
    expect([refused.status, refused.body.code]).toEqual([409, 'role_required']);
    const hostile = [
      'http://here.test:1',
      'https://user:pass@here.test',
      'https://here.test/elsewhere',
      'https://here.test?x=1',
      'https://here.test#x',
      'https://',
      'https://here.test:99999',
      'https://here.test\n',
      `https://${'a'.repeat(400)}`,
    ];
    for (const url of hostile) expect([url, (await cache.serve(url)).status]).toEqual([url, 422]);
    const many = Array.from({ length: 501 }, () => 'a'.repeat(64));
    const body = { url: null, held: many };
    expect((await cache.api.put('/node-agents/me/update-cache', body)).status).toBe(422);
    created(await cache.serve('https://[2001:db8::7]:7443'));
  });
});

describe('snapshots', () => {
  it('never change without their numbers, whatever happens to caches at the same time', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const cluster = `/clusters/${stage.clusterId}`;
    const caches = [await admittedCache(plane, stage.clusterId), await admittedCache(plane, stage.clusterId)];
    const nodeIds = [...stage.nodes.map(({ id }) => id), ...caches.map(({ node }) => node.nodeId)];
    const { id: groupId } = created(
      await plane.api.post(`${cluster}/node-groups`, { name: unique('g') }),
    ) as Json;
    const seen = new Map<string, string>();
    const last = new Map<string, [number, string]>();
    const look = async () => {
      for (const nodeId of nodeIds) {
        const {
          generation: number,
          issuedAt: _,
          expiresAt: __,
          ...content
        } = await snapshot(stage.clusterId, nodeId);
        const text = canonicalJson(content);
        expect([nodeId, number, seen.get(`${nodeId} ${number}`) ?? text]).toEqual([nodeId, number, text]);
        const [before, old] = last.get(nodeId) ?? [number, text];
        expect([nodeId, old === text, number > before]).toEqual([nodeId, old === text, old !== text]);
        seen.set(`${nodeId} ${number}`, text);
        last.set(nodeId, [number, text]);
      }
    };
    const id = await stage.draft({ maxUnavailable: 3 });
    const [one, two] = caches as [TestCache, TestCache];
    const product = stage.publisher.product;
    const rounds = [
      () => [
        stage.act(id, 'start'),
        point(stage.clusterId, 'current', '1.0.0', product),
        one.serve('https://one.test:1'),
        plane.api.post(`${two.assignment}/disable`),
        two.serve('https://two.test:1'),
      ],
      () => [
        stage.tick(),
        plane.api.post(`${two.assignment}/enable`),
        point(stage.clusterId, 'current', '2.0.0', product),
        plane.api.patch(`${cluster}/nodes/${one.node.nodeId}`, { groupId }),
        plane.api.patch(`${cluster}/nodes/${stage.nodes[0]?.id}`, { groupId }),
        one.serve('https://one.test:2'),
      ],
      () => [
        plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Bad.' }),
        plane.api.delete(two.assignment),
        one.serve(null),
        point(stage.clusterId, 'candidate', '1.0.0', product),
        stage.tick(),
      ],
      () => [
        plane.api.post(stage.publisher.path('2.0.0', '/unblock')),
        plane.api.post(`${cluster}/role-assignments`, { nodeId: two.node.nodeId, role: 'update-cache' }),
        plane.api.post(`${cluster}/nodes/${one.node.nodeId}/revoke`, { reason: 'Gone.', force: true }),
        point(stage.clusterId, 'current', '1.0.0', product),
      ],
    ];
    await look();
    for (const round of rounds) {
      const answers = await Promise.all(round());
      for (const answer of answers) expect(answer?.status ?? 200).toBeLessThan(500);
      if (round === rounds[3]) nodeIds.splice(nodeIds.indexOf(one.node.nodeId), 1);
      await look();
    }
    expect(await mirrored(two)).not.toEqual([]);
    expect(await deadlocksOf(plane)).toBe(0);
  });
});

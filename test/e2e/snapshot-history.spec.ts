import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { applyPatch } from 'rfc6902';
import { GenerationKeeper, StoredSections } from '../../src/modules/snapshots/generation-keeper.js';
import { SnapshotRetention } from '../../src/modules/snapshots/snapshot-retention.js';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several, unique } from '../support/given.js';
import { openSecondSession } from '../support/second-session.js';
import { type Payload, WatchingNode } from '../support/watching-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000, nodePerMinute: 100_000 };

let plane: ControlPlane;
let second: ControlPlane;
beforeAll(async () => {
  // Without workers, who at some hours would look at the tables that a test locks or makes older.
  plane = await startControlPlane({ config: { limits, role: 'api' } });
  second = await startControlPlane({ beside: plane, config: { limits, role: 'api' } });
});
afterAll(async () => {
  await second?.close();
  await plane?.close();
});

const rename = async (watching: WatchingNode) =>
  created(await plane.api.patch(watching.path, { name: unique('renamed') }));
const readBack = (watching: WatchingNode, query: string) =>
  plane.api.get(`${watching.path}/snapshot?${query}`);
const refusal = ({ status, body }: Answer) => [status, body.code, body.nearest];
const keptRows = (watching: WatchingNode) =>
  plane.database.query<{ generation: string }>(
    'SELECT generation FROM kept_generations WHERE node_id = $1 ORDER BY generation',
    [watching.node.nodeId],
  );
const sectionCount = async (clusterId: string) =>
  (await plane.database.query('SELECT 1 FROM snapshot_sections WHERE cluster_id = $1', [clusterId])).length;

describe('a generation', () => {
  it('that a node got can be read back by its number, and one that it never got cannot', async () => {
    const watching = await WatchingNode.admit(plane);
    const first = await watching.fetch();
    await rename(watching); // nobody gets this one
    await rename(watching);
    const third = await watching.fetch();
    expect(third.generation).toBe(first.generation + 2);
    for (const payload of [first, third]) {
      const answer = await readBack(watching, `generation=${payload.generation}`);
      expect([answer.status, answer.body]).toEqual([200, payload]);
      const etag = answer.headers.get('etag') ?? '';
      const path = `${watching.path}/snapshot?generation=${payload.generation}`;
      expect((await second.api.get(path, { 'if-none-match': etag })).status).toBe(304);
    }
    const nearest = (generation: number) => ({ generation, servedAt: expect.any(String) });
    expect(refusal(await readBack(watching, `generation=${first.generation + 1}`))).toEqual([
      404,
      'generation_not_kept',
      nearest(first.generation),
    ]);
    expect(refusal(await readBack(watching, `generation=${third.generation + 9}`))).toEqual([
      404,
      'generation_not_kept',
      nearest(third.generation),
    ]);
    await rename(watching); // what an administrator looks at is not what the node was given
    const { generation } = (await plane.api.get(`${watching.path}/snapshot`)).body;
    expect((await readBack(watching, `generation=${generation}`)).status).toBe(404);
  });

  it('can be read back by any instant at which it was in force', async () => {
    const watching = await WatchingNode.admit(plane);
    const payloads = [await watching.fetch()];
    await rename(watching);
    payloads.push(await watching.fetch());
    const { items } = (await plane.api.get(`${watching.path}/snapshots`)).body;
    const [later, earlier] = items.map((item: Payload) => Date.parse(item.servedAt)) as [number, number];
    const at = (ms: number) => readBack(watching, `at=${new Date(ms).toISOString()}`);
    expect((await at(later + 3_600_000)).body).toEqual(payloads[1]);
    expect((await at(later)).body).toEqual(payloads[1]);
    expect((await at(later - 1)).body).toEqual(payloads[0]);
    expect((await at(earlier)).body).toEqual(payloads[0]);
    expect(refusal(await at(earlier - 1))).toEqual([
      404,
      'generation_not_kept',
      { generation: payloads[0].generation, servedAt: new Date(earlier).toISOString() },
    ]);
    const never = await WatchingNode.admit(plane);
    expect(refusal(await readBack(never, 'at=2026-01-01T00:00:00Z'))).toEqual([
      404,
      'generation_not_kept',
      null,
    ]);
  });

  it('is kept before its node gets it, or the node does not get it', async () => {
    const watching = await WatchingNode.admit(plane);
    const session = await openSecondSession(plane);
    try {
      await session.query('BEGIN');
      await session.query('LOCK TABLE kept_generations IN ACCESS EXCLUSIVE MODE');
      const poll = watching.poll();
      await session.untilWaiting();
      await session.terminate(`a.query LIKE '%INTO kept_generations%' AND a.wait_event_type = 'Lock'`);
      expect((await poll).status).toBe(503);
      await session.query('ROLLBACK');
    } finally {
      await session.end();
    }
    expect(await keptRows(watching)).toEqual([]);
    const payload = await watching.fetch();
    expect((await readBack(watching, `generation=${payload.generation}`)).body).toEqual(payload);
  });

  it('is kept once, whichever instances serve it at the same time and however often', async () => {
    const { id } = await given(plane).cluster();
    const nodes = await several(12, () => WatchingNode.admit(plane, id));
    const everywhere = () =>
      Promise.all(nodes.flatMap((node) => [plane, second, plane, second].map((at) => node.poll({ at }))));
    const answers = await everywhere();
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    for (const node of nodes) expect(await keptRows(node)).toHaveLength(1);
    // Another generation for all: of the sections only the one that the cluster shares is new.
    const before = await sectionCount(id);
    created(await plane.api.put(`/clusters/${id}/policy`, { degradedGraceSeconds: 77 }));
    await everywhere();
    for (const node of nodes) expect(await keptRows(node)).toHaveLength(2);
    expect(await sectionCount(id)).toBe(before + 1);
  });

  it('whose section is just being removed stores it again', async () => {
    const { id } = await given(plane).cluster();
    const [one, other] = [await WatchingNode.admit(plane, id), await WatchingNode.admit(plane, id)];
    await one.fetch();
    await plane.database.query(
      `UPDATE snapshot_sections SET last_used_at = now() - interval '60 days' WHERE cluster_id = $1`,
      [id],
    );
    const session = await openSecondSession(plane);
    try {
      await session.query('BEGIN');
      // As retention does it, of what has not been used for long.
      await session.query('DELETE FROM snapshot_sections WHERE cluster_id = $1', [id]);
      const poll = other.poll({ at: second });
      await session.untilWaiting();
      await session.query('COMMIT');
      const { generation } = created(await poll) as { generation: number };
      expect((await readBack(other, `generation=${generation}`)).status).toBe(200);
    } finally {
      await session.end();
    }
  });

  it('is asked for in one way only, of a member, by whoever may read snapshots', async () => {
    const watching = await WatchingNode.admit(plane);
    const { generation } = await watching.fetch();
    const parameters = async (query: string) => {
      const { status, body } = await readBack(watching, query);
      return [status, body.errors?.map((error: { parameter: string }) => error.parameter)];
    };
    expect(await parameters(`generation=${generation}&at=2026-01-01T00:00:00Z`)).toEqual([400, ['at']]);
    expect(await parameters('generation=-1')).toEqual([400, ['generation']]);
    expect(await parameters('at=yesterday')).toEqual([400, ['at']]);
    const other = await given(plane).cluster();
    const elsewhere = `/clusters/${other.id}/nodes/${watching.node.nodeId}`;
    for (const path of [`snapshot?generation=${generation}`, 'snapshots']) {
      expect((await plane.api.get(`${elsewhere}/${path}`)).status).toBe(404);
      expect((await (await watching.node.api()).get(`${watching.path}/${path}`)).status).toBe(403);
    }
  });
});

describe('the list of generations', () => {
  it('tells newest first how each differs from the one before, page by page and within a range', async () => {
    const watching = await WatchingNode.admit(plane);
    const payloads = [await watching.fetch()];
    const roles = `/clusters/${watching.node.clusterId}/role-assignments`;
    for (const change of [
      () => plane.api.post(roles, { nodeId: watching.node.nodeId, role: 'vpn-exit' }),
      () => plane.api.patch(watching.path, { telemetryEnabled: true }),
      () => plane.api.post(`${watching.path}/disable`),
      () => plane.api.post(`${watching.path}/enable`),
      () => plane.api.put(`/clusters/${watching.node.clusterId}/policy`, { degradedGraceSeconds: 61 }),
    ]) {
      created(await change());
      payloads.push(await watching.fetch());
    }
    const all = (await plane.api.get(`${watching.path}/snapshots`)).body;
    expect(all.items.map((item: Payload) => item.generation)).toEqual(
      payloads.map((payload) => payload.generation).reverse(),
    );
    expect(all.nextCursor).toBeNull();
    const oldestFirst = [...all.items].reverse();
    for (const [index, item] of oldestFirst.entries()) {
      const { generation, issuedAt, expiresAt, ...content } = payloads[index];
      const { authorityTerm } = content;
      expect(item).toMatchObject({ generation, issuedAt, expiresAt, authorityTerm, patchTruncated: false });
      const before = payloads[index - 1];
      expect(item.previousGeneration).toBe(before?.generation ?? null);
      if (before === undefined) expect(item.patch).toBeNull();
      else {
        const { generation: _, issuedAt: __, expiresAt: ___, ...patched } = structuredClone(before);
        expect(applyPatch(patched, item.patch)).toEqual(item.patch.map(() => null));
        expect(patched).toEqual(content);
      }
    }
    expect(oldestFirst[2].patch).toEqual([{ op: 'replace', path: '/telemetry/enabled', value: true }]);

    const paged: Payload[] = [];
    let cursor = '';
    do {
      const page = (await plane.api.get(`${watching.path}/snapshots?limit=2${cursor}`)).body;
      paged.push(...page.items);
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    expect(paged).toEqual(all.items);

    const [, , third, fourth] = oldestFirst;
    const range = await plane.api.get(
      `${watching.path}/snapshots?from=${third.servedAt}&to=${fourth.servedAt}`,
    );
    expect(range.body.items).toEqual([third]);
  });

  it('stays readable when the membership has ended', async () => {
    const watching = await WatchingNode.admit(plane);
    const payload = await watching.fetch();
    created(await plane.api.post(`${watching.path}/revoke`, { reason: 'Stolen.' }));
    expect((await plane.api.get(`${watching.path}/snapshot`)).status).toBe(404);
    expect((await readBack(watching, `generation=${payload.generation}`)).body).toEqual(payload);
    expect((await plane.api.get(`${watching.path}/snapshots`)).body.items).toHaveLength(1);
  });
});

describe('retention', () => {
  const KEPT_DAYS = 30;

  /** Makes everything that was kept so many days older, as if they had passed. */
  async function daysPass(days: number): Promise<void> {
    for (const [table, column] of [
      ['kept_generations', 'served_at'],
      ['snapshot_sections', 'last_used_at'],
    ]) {
      await plane.database.query(`UPDATE ${table} SET ${column} = ${column} - make_interval(hours => $1)`, [
        days * 24,
      ]);
    }
    await plane.database.query(
      `UPDATE cluster_memberships SET revoked_at = revoked_at - make_interval(hours => $1) WHERE revoked_at IS NOT NULL`,
      [days * 24],
    );
    // A half-day is the longest for which an instance takes a section for stored without looking.
    for (const each of [plane, second])
      Reflect.set(each.app.get(GenerationKeeper), 'stored', new StoredSections());
  }

  const retain = () => Promise.all([plane, second].map((each) => each.app.get(SnapshotRetention).run()));

  it('keeps what was in force at any time within thirty days, whole, and nothing else', async () => {
    const { id } = await given(plane).cluster();
    const nodes = await Promise.all([0, 1, 2].map(() => WatchingNode.admit(plane, id)));
    // The first changes often, the second seldom, the third never.
    const changesEvery = [1, 4, Number.POSITIVE_INFINITY];
    const served: { watching: WatchingNode; payload: Payload; servedOn: number }[] = [];
    let day = 0;
    const serve = async (watching: WatchingNode) => {
      const payload = await watching.fetch();
      const known = served.find(
        (each) => each.watching === watching && each.payload.generation === payload.generation,
      );
      if (known === undefined) served.push({ watching, payload, servedOn: day });
    };
    for (const watching of nodes) await serve(watching);
    for (let step = 1; step <= 12; step += 1) {
      const days = [6.5, 1, 11][step % 3] ?? 1;
      await daysPass(days);
      day += days;
      for (const [index, watching] of nodes.entries()) {
        if (step % (changesEvery[index] ?? 1) !== 0) continue;
        await rename(watching);
        await serve(watching);
      }
      await retain();
      for (const { watching, payload, servedOn } of served) {
        const successor = served.find(
          (each) => each.watching === watching && each.payload.generation > payload.generation,
        );
        const isKept = successor === undefined || day - successor.servedOn <= KEPT_DAYS;
        const answer = await readBack(watching, `generation=${payload.generation}`);
        expect([step, servedOn, answer.status]).toEqual([step, servedOn, isKept ? 200 : 404]);
        if (isKept) expect(answer.body).toEqual(payload);
      }
    }
    // Sections are left alone for some days more; then only those of what is still in force are there.
    await daysPass(KEPT_DAYS + 10);
    await retain();
    const left = await plane.database.query<{ hash: string }>(
      `SELECT DISTINCT substring(g.section_hashes FROM at FOR 32) AS hash
         FROM kept_generations AS g, generate_series(1, length(g.section_hashes), 32) AS at WHERE g.cluster_id = $1`,
      [id],
    );
    for (const watching of nodes) expect(await keptRows(watching)).toHaveLength(1);
    expect(await sectionCount(id)).toBe(left.length);
  });

  it('ends with a membership, thirty days later', async () => {
    const watching = await WatchingNode.admit(plane);
    const { generation } = await watching.fetch();
    created(await plane.api.post(`${watching.path}/revoke`, { reason: 'Gone.' }));
    const status = async () => (await readBack(watching, `generation=${generation}`)).status;
    await daysPass(29);
    await retain();
    expect(await status()).toBe(200);
    await daysPass(2);
    await retain();
    expect(await status()).toBe(404);
    await daysPass(40);
    await retain();
    expect(await sectionCount(watching.node.clusterId)).toBe(0);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from '../../src/common/database/sql.js';
import { systemActor } from '../../src/common/request/actor.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { openSecondSession } from '../support/second-session.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };

let controlPlane: ControlPlane;
let beside: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  beside = await startControlPlane({ beside: controlPlane, config: { limits } });
  ({ api } = controlPlane);
});
afterAll(async () => {
  await beside?.close();
  await controlPlane?.close();
});

const etagOf = (answer: Answer): string => answer.headers.get('etag') ?? '';

function countByStatus(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

async function reader(): Promise<Api> {
  const token = created(await api.post('/api-tokens', { name: unique('reader'), role: 'auditor' })) as {
    token: string;
  };
  return api.as(token.token);
}

const eventsOf = (clusterId: string, action: string) =>
  controlPlane.database.query('SELECT 1 FROM audit_events WHERE cluster_id = $1 AND action = $2', [
    clusterId,
    action,
  ]);

describe('an ETag', () => {
  it('is strong, and the same at creation and reading, on every instance and for every credential', async () => {
    const made = await api.post('/clusters', {
      name: 'Größe 1',
      labels: { b: '2', a: '1' },
      metadata: { z: [1.5, null], a: {} },
    });
    const etag = etagOf(made);
    expect(etag).toMatch(/^"[^"]+"$/);
    const path = `/clusters/${made.body.id}`;
    for (const client of [api, beside.api, await reader()]) expect(etagOf(await client.get(path))).toBe(etag);
    expect(etagOf(await api.get(`/clusters/${made.body.slug}`))).toBe(etag);
  });

  it('is that of the answer to a change, and changes with the content alone', async () => {
    const { id } = await given(controlPlane).cluster();
    const before = etagOf(await api.get(`/clusters/${id}`));
    const same = await api.patch(`/clusters/${id}`, {});
    expect(etagOf(same)).toBe(before);
    const changed = await api.patch(`/clusters/${id}`, { region: 'north' });
    expect(etagOf(changed)).not.toBe(before);
    expect(etagOf(await beside.api.get(`/clusters/${id}`))).toBe(etagOf(changed));
  });

  it('spares the answer to who has it already', async () => {
    const { id } = await given(controlPlane).cluster();
    const etag = etagOf(await api.get(`/clusters/${id}`));
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const answer = await beside.api.get(`/clusters/${id}`, { 'if-none-match': header });
      expect(answer.status).toBe(304);
      expect(etagOf(answer)).toBe(etag);
      expect(answer.body).toBe('');
    }
    for (const header of ['"other"', etag.slice(1, -1), '""']) {
      expect((await api.get(`/clusters/${id}`, { 'if-none-match': header })).status).toBe(200);
    }
  });
});

describe('If-Match', () => {
  it('lets a change through for the current revision and for any', async () => {
    const { id } = await given(controlPlane).cluster();
    const etag = etagOf(await api.get(`/clusters/${id}`));
    const named = await api.patch(`/clusters/${id}`, { region: 'a' }, { 'if-match': `"x", ${etag}` });
    expect(named.status).toBe(200);
    expect((await api.patch(`/clusters/${id}`, { region: 'b' }, { 'if-match': '*' })).status).toBe(200);
    expect((await api.put(`/clusters/${id}/policy`, {}, { 'if-match': '*' })).status).toBe(200);
  });

  it('refuses a change of another revision, and changes nothing', async () => {
    const { id } = await given(controlPlane).cluster();
    const stale = etagOf(await api.get(`/clusters/${id}`));
    await api.patch(`/clusters/${id}`, { region: 'new' });
    for (const answer of [
      await api.patch(`/clusters/${id}`, { region: 'old' }, { 'if-match': stale }),
      await api.patch(`/clusters/${id}`, { region: 'old' }, { 'if-match': `W/${stale}` }),
      await api.delete(`/clusters/${id}`, undefined, { 'if-match': stale }),
      await api.put(`/clusters/${id}/policy`, { heartbeatSeconds: 9 }, { 'if-match': stale }),
    ]) {
      expect({ status: answer.status, code: answer.body.code }).toEqual({
        status: 412,
        code: 'precondition_failed',
      });
    }
    expect((await api.get(`/clusters/${id}`)).body).toMatchObject({ region: 'new', status: 'active' });
    expect(await eventsOf(id, 'cluster.updated')).toHaveLength(1);
  });

  it('is refused when it is no list of entity tags', async () => {
    const { id } = await given(controlPlane).cluster();
    const answer = await api.patch(`/clusters/${id}`, { region: 'x' }, { 'if-match': 'latest' });
    expect({ status: answer.status, code: answer.body.code }).toEqual({ status: 400, code: 'invalid_etag' });
  });

  it('lets exactly one of twenty racing changes win', async () => {
    const { id } = await given(controlPlane).cluster();
    const etag = etagOf(await api.get(`/clusters/${id}`));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? api : beside.api).patch(
          `/clusters/${id}`,
          { region: `r${index}` },
          { 'if-match': etag },
        ),
      ),
    );
    expect(countByStatus(answers)).toEqual({ 200: 1, 412: 19 });
    const winner = answers.find((answer) => answer.status === 200);
    expect((await api.get(`/clusters/${id}`)).body).toEqual(winner?.body);
    expect(await eventsOf(id, 'cluster.updated')).toHaveLength(1);
  });
});

describe('a merge patch', () => {
  it('merges labels and metadata, removes with null and leaves the rest', async () => {
    const { id } = await given(controlPlane).cluster({
      region: 'eu',
      labels: { site: 'msk', ring: 'canary' },
      metadata: { ticket: 'OPS-1', owner: { team: 'a', phone: '1' } },
    });
    const answer = await api.patch(
      `/clusters/${id}`,
      {
        labels: { ring: null, tier: 'gold', absent: null },
        metadata: { owner: { phone: null, mail: 'm' }, list: [null] },
      },
      { 'content-type': 'application/merge-patch+json' },
    );
    expect(answer.body).toMatchObject({ region: 'eu' });
    expect(answer.body.labels).toEqual({ site: 'msk', tier: 'gold' });
    expect(answer.body.metadata).toEqual({ ticket: 'OPS-1', owner: { team: 'a', mail: 'm' }, list: [null] });
    const cleared = await api.patch(`/clusters/${id}`, { labels: null, metadata: null, region: null });
    expect(cleared.body).toMatchObject({ labels: {}, metadata: {}, region: null });
  });

  it('loses none of twenty concurrent labels', async () => {
    const { id } = await given(controlPlane).cluster();
    const names = Array.from({ length: 20 }, (_, index) => `l${index}`);
    const answers = await Promise.all(
      names.map((name, index) =>
        (index % 2 === 0 ? api : beside.api).patch(`/clusters/${id}`, { labels: { [name]: 'x' } }),
      ),
    );
    expect(countByStatus(answers)).toEqual({ 200: 20 });
    expect(Object.keys((await api.get(`/clusters/${id}`)).body.labels).sort()).toEqual([...names].sort());
    expect(await eventsOf(id, 'cluster.updated')).toHaveLength(20);
  });
});

describe('changes that collide', () => {
  it('give a slug to one of ten', async () => {
    const slug = unique('race');
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        (index % 2 === 0 ? api : beside.api).post('/clusters', { name: 'Race', slug }),
      ),
    );
    expect(countByStatus(answers)).toEqual({ 201: 1, 409: 9 });
    expect(
      answers.filter(({ status }) => status === 409).every(({ body }) => body.code === 'slug_taken'),
    ).toBe(true);
  });

  it('archive a cluster once', async () => {
    const { id } = await given(controlPlane).cluster();
    const answers = await Promise.all(
      [api, beside.api, api, beside.api].map((client) => client.delete(`/clusters/${id}`)),
    );
    expect(countByStatus(answers)).toEqual({ 204: 1, 409: 3 });
    expect(await eventsOf(id, 'cluster.archived')).toHaveLength(1);
  });

  it('change nothing of a cluster that is archived meanwhile', async () => {
    const { id } = await given(controlPlane).cluster();
    const answers = await Promise.all([
      api.delete(`/clusters/${id}`),
      ...Array.from({ length: 10 }, (_, index) =>
        beside.api.patch(`/clusters/${id}`, { region: `r${index}` }),
      ),
      ...Array.from({ length: 5 }, (_, index) =>
        api.put(`/clusters/${id}/policy`, { heartbeatSeconds: 20 + index }),
      ),
    ]);
    const [archived, ...others] = answers;
    expect(archived?.status).toBe(204);
    for (const { status, body } of others) {
      if (status !== 200)
        expect({ status, code: body.code }).toEqual({ status: 409, code: 'cluster_archived' });
    }
    const shown = await api.get(`/clusters/${id}`);
    const done = others
      .filter(({ status, body }) => status === 200 && body.region !== undefined)
      .map(({ body }) => body.region);
    expect([...done, null]).toContain(shown.body.region);
    expect(await eventsOf(id, 'cluster.updated')).toHaveLength(done.length);
    const refused = await api.patch(`/clusters/${id}`, { region: 'late' });
    expect(refused.body.code).toBe('cluster_archived');
  });

  it('run once more when they have locked each other out', async () => {
    const [one, two] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    const transactor = controlPlane.app.get(Transactor);
    const runs = { count: 0 };
    const lock = (id: string) => sql`UPDATE clusters AS c SET region = 'deadlock' WHERE c.id = ${id}::uuid`;
    // Both hold one row before either asks for the other.
    let holding = 0;
    let release = () => {};
    const bothHold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const crossing = (first: string, second: string, direct: boolean) => {
      const actor = systemActor('test');
      const work = async (tx: { query: (statement: ReturnType<typeof sql>) => Promise<unknown[]> }) => {
        runs.count += 1;
        await tx.query(lock(first));
        holding += 1;
        if (holding >= 2) release();
        await bothHold;
        await tx.query(lock(second));
        return { result: null, unchanged: true as const };
      };
      return direct ? transactor.mutateDirect(actor, work) : transactor.mutate(actor, work);
    };
    await Promise.all([crossing(one.id, two.id, false), crossing(two.id, one.id, true)]);
    expect(runs.count).toBe(3);
    const rows = await controlPlane.database.query(`SELECT region FROM clusters WHERE id = ANY($1)`, [
      [one.id, two.id],
    ]);
    expect(rows).toEqual([{ region: 'deadlock' }, { region: 'deadlock' }]);
  });

  it('are answered 503 when they cannot but lose', async () => {
    const session = await openSecondSession(controlPlane);
    try {
      await session.query(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$`);
      const { id } = await given(controlPlane).cluster();
      await session.query(
        'CREATE TRIGGER lose BEFORE UPDATE OF region ON clusters FOR EACH ROW EXECUTE FUNCTION lose()',
      );
      const answer = await api.patch(`/clusters/${id}`, { region: 'x' });
      expect({ status: answer.status, code: answer.body.code }).toEqual({ status: 503, code: 'unavailable' });
      expect(answer.headers.get('retry-after')).not.toBeNull();
    } finally {
      await session.query('DROP FUNCTION lose() CASCADE');
      await session.end();
    }
  });
});

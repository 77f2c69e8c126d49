import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { sql } from '../../src/common/database/sql.js';
import { systemActor } from '../../src/common/request/actor.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given, unique } from '../support/given.js';
import { openSecondSession, type SecondSession } from '../support/second-session.js';
import { until } from '../support/until.js';
import { WatchingNode } from '../support/watching-node.js';

/** A connection of the test's own that holds locks until it lets go. */
let blocker: SecondSession;
let controlPlane: ControlPlane;
beforeAll(async () => {
  controlPlane = await startControlPlane();
});
afterAll(() => controlPlane?.close());
beforeEach(async () => {
  blocker = await openSecondSession(controlPlane);
});
afterEach(() => blocker.end());

function expectUnavailable({ status, headers, body }: Answer): void {
  expect({ status, body }).toMatchObject({
    status: 503,
    body: { code: 'unavailable', requestId: headers.get('x-request-id') },
  });
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  expect(JSON.stringify(body)).not.toMatch(/SELECT|INSERT|UPDATE|clusters_|terminat|lock/i);
}

describe('when the database goes away', () => {
  it('a write in flight is answered 503 and leaves nothing behind', async () => {
    const slug = unique('cut');
    await blocker.query('BEGIN; LOCK TABLE cluster_policies IN ACCESS EXCLUSIVE MODE');
    const pending = controlPlane.api.post('/clusters', { name: 'cut', slug });
    await blocker.untilWaiting();
    await blocker.terminate(`a.wait_event_type = 'Lock'`);
    expectUnavailable(await pending);
    await blocker.query('ROLLBACK');
    expect(await controlPlane.database.query('SELECT 1 FROM clusters WHERE slug = $1', [slug])).toEqual([]);
    expect((await controlPlane.api.post('/clusters', { name: 'cut', slug })).status).toBe(201);
  });

  it('a read in flight is answered 503, and the next one is served', async () => {
    await given(controlPlane).cluster();
    await blocker.query('BEGIN; LOCK TABLE cluster_authorities IN ACCESS EXCLUSIVE MODE');
    const pending = controlPlane.api.get('/clusters');
    await blocker.untilWaiting();
    await blocker.terminate(`a.wait_event_type = 'Lock'`);
    expectUnavailable(await pending);
    await blocker.query('ROLLBACK');
    expect((await controlPlane.api.get('/clusters')).status).toBe(200);
  });

  it('a held poll that is to be answered goes the usual way, and is answered 503 there', async () => {
    const { id } = await given(controlPlane).cluster();
    const watching = await WatchingNode.admit(controlPlane, id);
    await watching.fetch();
    const held = watching.poll({ waitSeconds: 50 });
    await until(
      async () => (await controlPlane.api.get('//metrics')).body as string,
      (metrics) => /^fabric_held_polls 1$/m.test(metrics),
    );
    // What is given to a node is kept first; the change itself does without.
    await blocker.query('BEGIN; LOCK TABLE kept_generations IN ACCESS EXCLUSIVE MODE');
    expect((await controlPlane.api.patch(watching.path, { telemetryEnabled: true })).status).toBe(200);
    for (const _way of ['early', 'usual']) {
      await blocker.untilWaiting();
      await blocker.terminate(`a.wait_event_type = 'Lock'`);
    }
    expectUnavailable(await held);
    await blocker.query('ROLLBACK');
    expect((await watching.poll()).status).toBe(200);
  });

  it('a transaction that breaks between two statements fails, and the service lives', async () => {
    const transactor = controlPlane.app.get(Transactor);
    const work = transactor.observe(systemActor('test'), async (tx) => {
      const [row] = await tx.query<{ pid: number }>(sql`SELECT pg_backend_pid() AS pid`);
      await blocker.terminate(`a.pid = ${row?.pid}`);
      for (let turns = 0; turns < 20; turns += 1) await turn();
      await tx.query(sql`SELECT 1`);
      return { result: null };
    });
    await expect(work).rejects.toThrow(/not queryable|terminat/);
    expect((await controlPlane.api.get('//livez')).status).toBe(200);
    expect((await controlPlane.api.get('/clusters')).status).toBe(200);
  });

  it('all idle connections may break at once', async () => {
    await Promise.all(Array.from({ length: 10 }, () => controlPlane.api.get('/clusters')));
    await blocker.terminate(`a.application_name = 'fabric' AND a.state = 'idle'`);
    const statuses = new Set<number>();
    for (let call = 0; call < 20; call += 1) statuses.add((await controlPlane.api.get('/clusters')).status);
    expect([...statuses].every((status) => status === 200 || status === 503)).toBe(true);
    expect((await controlPlane.api.get('/clusters')).status).toBe(200);
  });
});

describe('when a lock is held for too long', () => {
  it('a write is answered 503 with Retry-After', async () => {
    const { id } = await given(controlPlane).cluster();
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM cluster_policies WHERE cluster_id = $1 FOR UPDATE', [id]);
    const answer = await controlPlane.api.put(`/clusters/${id}/policy`, { heartbeatSeconds: 7 });
    expectUnavailable(answer);
    await blocker.query('ROLLBACK');
    const events = await controlPlane.database.query(
      `SELECT 1 FROM audit_events WHERE cluster_id = $1 AND action = 'cluster_policy.updated'`,
      [id],
    );
    expect(events).toEqual([]);
  });
});

describe('when the service has a fault', () => {
  it('the answer says so, with the request id and nothing of the inside', async () => {
    const broken = await startControlPlane();
    try {
      const { id } = await given(broken).cluster();
      await broken.database.query('ALTER TABLE cluster_policies RENAME TO cluster_policies_gone');
      for (const answer of [
        await broken.api.get(`/clusters/${id}/policy`),
        await broken.api.put(`/clusters/${id}/policy`, {}),
        await broken.api.post('/clusters', { name: unique('broken') }),
      ]) {
        expect(answer.status).toBe(500);
        expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
        expect(answer.body).toEqual({
          type: '/problems/internal_error',
          title: 'Internal error',
          status: 500,
          detail: expect.any(String),
          instance: expect.stringMatching(/^\/api\/v1\/clusters/),
          code: 'internal_error',
          requestId: answer.headers.get('x-request-id'),
        });
        expect(JSON.stringify(answer.body)).not.toMatch(/policies_|relation|42P01|\bat .*:\d+/);
      }
      expect((await broken.api.get('/clusters')).body.items).toHaveLength(1);
    } finally {
      await broken.close();
    }
  });

  it('a failed audit event undoes the change that it tells of', async () => {
    const broken = await startControlPlane();
    try {
      const { id } = await given(broken).cluster({ name: 'before' });
      await broken.database.query(
        `ALTER TABLE audit_events ADD CONSTRAINT none CHECK (action <> 'cluster.updated') NOT VALID`,
      );
      const answer = await broken.api.patch(`/clusters/${id}`, { name: 'after' });
      expect(answer.status).toBe(500);
      expect((await broken.api.get(`/clusters/${id}`)).body.name).toBe('before');
    } finally {
      await broken.close();
    }
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ChangeReader } from '../../src/common/changes/change-reader.js';
import { Sequencer } from '../../src/common/changes/sequencer.js';
import { systemActor } from '../../src/common/request/actor.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import { AuthorityService } from '../../src/modules/authority/authority.service.js';
import { AuthorityClaims } from '../../src/modules/authority/authority-claims.service.js';
import { MassLapses } from '../../src/modules/authority/mass-lapses.service.js';
import { ServerWatch } from '../../src/modules/authority/server-watch.js';
import { TakeoverHolds } from '../../src/modules/authority/takeover-holds.js';
import type { HoldCause } from '../../src/modules/authority/term.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { collectLog } from '../support/log-lines.js';
import { openSecondSession } from '../support/second-session.js';
import { admittedNode } from '../support/test-node.js';
import { type RunningTestServer, startOwnTestServer } from '../support/test-server.js';
import { until } from '../support/until.js';

/** A sweep that came at the wrong moment would do what the test looks at before. */
const WITHOUT_WORKERS = { config: { role: 'api' as const } };

describe('the term of a cluster', () => {
  let server: RunningTestServer;
  let plane: ControlPlane;
  let api: Api;
  beforeAll(async () => {
    server = await startOwnTestServer();
    plane = await startControlPlane(WITHOUT_WORKERS);
    api = plane.api;
  });
  afterAll(async () => {
    await plane.close();
    await server.stop();
  });

  const authorityOf = async (clusterId: string) =>
    created(await api.get(`/clusters/${clusterId}/authority`)) as {
      state: string;
      term: number;
      holder: string;
      takeoversHeldUntil: string | null;
    };
  const events = async (clusterId: string, action: string) =>
    (await api.get(`/audit/events?clusterId=${clusterId}&action=${action}`)).body.items;
  const heldSeconds = async (clusterId: string) => {
    const rows = await plane.database.query<{ seconds: number }>(
      `SELECT extract(epoch FROM takeovers_held_until - takeovers_held_since)::int AS seconds
         FROM cluster_authorities WHERE cluster_id = $1`,
      [clusterId],
    );
    return rows[0]?.seconds;
  };

  describe('claimed by nodes', () => {
    it('rises by one for a heartbeat from a later term, whatever that claims, and once for that node', async () => {
      const node = await admittedNode(plane);
      const agent = await node.api();
      const before = await authorityOf(node.clusterId);
      const beat = async (authorityTermSeen: number) =>
        created(await agent.post('/node-agents/me/heartbeat', node.heartbeat({ authorityTermSeen })));
      await beat(1);
      expect(await authorityOf(node.clusterId)).toEqual(before);

      await beat(1_000_000);
      const after = await authorityOf(node.clusterId);
      expect(after).toMatchObject({ state: 'authoritative', term: 2 });
      expect(after.holder).not.toBe(before.holder);
      // The contract's longest lease and grace: nobody knows what was lost.
      expect(await heldSeconds(node.clusterId)).toBe(3_660);
      expect(await beat(1_000_000)).toMatchObject({ authorityTerm: 2 });
      await beat(2_000_000);
      expect(await authorityOf(node.clusterId)).toEqual(after);

      expect(await events(node.clusterId, 'authority.term_claimed')).toMatchObject([
        {
          actor: { type: 'system', id: 'authority' },
          resource: { type: 'node', id: node.nodeId },
          before: { term: 1 },
          after: { claimedTerm: 1_000_000, source: 'heartbeat', raises: true },
          highRisk: true,
        },
      ]);
      expect(await events(node.clusterId, 'authority.term_raised')).toMatchObject([
        {
          actor: { type: 'system', id: 'authority' },
          resource: { type: 'authority', id: node.clusterId },
          before: { term: 1, holder: before.holder },
          after: { term: 2, holder: after.holder, cause: 'claim' },
        },
      ]);
    });

    it('is in the snapshot, whose generation grows with it', async () => {
      const node = await admittedNode(plane);
      const agent = await node.api();
      const first = created(await agent.get('/node-agents/me/snapshot')) as { generation: number };
      await agent.post('/node-agents/me/heartbeat', node.heartbeat({ authorityTermSeen: 7 }));
      const next = await agent.get('/node-agents/me/snapshot');
      expect(next.body.generation).toBe(first.generation + 1);
      expect(next.headers.get('etag')).toMatch(/^"2\./);
    });

    it('rises once when all nodes come with the same claim at once, on two instances', async () => {
      const first = await admittedNode(plane);
      const nodes = [
        first,
        ...(await Promise.all([1, 2, 3].map(() => admittedNode(plane, first.clusterId)))),
      ];
      const beside = await startControlPlane({ ...WITHOUT_WORKERS, beside: plane });
      try {
        const sources = [plane, beside].map(({ app }) => app.get(AuthorityClaims));
        const claim = { clusterId: first.clusterId, claimedTerm: 2, source: 'heartbeat' as const };
        await Promise.all(
          nodes.flatMap(({ nodeId }) => sources.map((claims) => claims.claimed({ ...claim, nodeId }))),
        );
      } finally {
        await beside.close();
      }
      expect(await authorityOf(first.clusterId)).toMatchObject({ term: 2 });
      expect(await events(first.clusterId, 'authority.term_raised')).toHaveLength(1);
    });

    it('rises for a later fencing token of the same term, with its evidence, and for none of an earlier one', async () => {
      const { clusterId, nodeId } = await admittedNode(plane);
      const claims = plane.app.get(AuthorityClaims);
      const claim = { clusterId, nodeId, claimedTerm: 1, source: 'fencing_token' as const };
      await claims.claimed({ ...claim, evidence: { tokenSeen: 2 ** 32 + 5, lastToken: 2 ** 32 + 3 } });
      await claims.claimed(claim);
      expect(await authorityOf(clusterId)).toMatchObject({ term: 2 });
      expect(
        (await events(clusterId, 'authority.term_claimed')).map((event: { after: unknown }) => event.after),
      ).toEqual([
        {
          claimedTerm: 1,
          source: 'fencing_token',
          raises: true,
          tokenSeen: 2 ** 32 + 5,
          lastToken: 2 ** 32 + 3,
        },
      ]);
    });
  });

  describe('on a database that is another server', () => {
    /** Makes the database remember another server than the one it is. */
    const remember = (change: string) => plane.database.query(`UPDATE installation SET ${change}`);
    const PROMOTED = 'timeline_id = timeline_id - 1';
    const RESTORED = `system_identifier = 'another'`;

    it('is remembered at the start, and raises nothing there', async () => {
      const [row] = await plane.database.query(
        `SELECT i.system_identifier = c.system_identifier::text AS same, i.timeline_id, fabric_server_is_known() AS known
           FROM installation AS i, pg_control_system() AS c`,
      );
      expect(row).toEqual({ same: true, timeline_id: 1, known: true });
    });

    it.each([
      ['a promotion', PROMOTED, 'promotion'],
      ['a restore', RESTORED, 'restore'],
    ])('rises once in each cluster after %s, however many instances look', async (_, change, cause) => {
      const clusters = await Promise.all([1, 2].map(async () => (await given(plane).cluster()).id));
      const beside = await startControlPlane({ ...WITHOUT_WORKERS, beside: plane });
      const log = collectLog(plane, 'error');
      const otherLog = collectLog(beside, 'error');
      try {
        await remember(change);
        await Promise.all([plane, beside].map(({ app }) => app.get(ServerWatch).check()));
        for (const clusterId of clusters) {
          expect(await authorityOf(clusterId)).toMatchObject({ state: 'authoritative', term: 2 });
          expect(await heldSeconds(clusterId)).toBe(3_660);
          expect(await events(clusterId, 'authority.term_raised')).toMatchObject([
            { actor: { type: 'system', id: 'server-watch' }, after: { term: 2, cause } },
          ]);
        }
        expect([...log, ...otherLog].filter(({ msg }) => msg.startsWith('server:'))).toHaveLength(1);
        await plane.app.get(ServerWatch).check();
        expect(await authorityOf(clusters[0] ?? '')).toMatchObject({ term: 2 });
      } finally {
        await beside.close();
      }
    });

    it('nothing that spreads trust goes through before, and everything else does', async () => {
      const node = await admittedNode(plane);
      const policy = `/clusters/${node.clusterId}/policy`;
      const transactor = plane.app.get(Transactor);
      const grant = () =>
        transactor.observe(systemActor('test'), async (tx) => ({
          result: await plane.app.get(AuthorityService).holdForGrant(tx, node.clusterId),
        }));
      expect(await grant()).toMatchObject({ state: 'authoritative', term: 1, takeoversHeldUntil: null });
      await remember(PROMOTED);
      const refused = await api.put(policy, { heartbeatSeconds: 5 });
      expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([
        503,
        'unavailable',
        '2',
      ]);
      await expect(grant()).rejects.toMatchObject({ kind: 'unavailable' });
      const agent = await node.api();
      expect((await agent.post('/node-agents/me/heartbeat', node.heartbeat())).status).toBe(200);
      expect((await api.patch(`/clusters/${node.clusterId}`, { labels: { a: 'b' } })).status).toBe(200);

      await plane.app.get(ServerWatch).check();
      expect((await api.put(policy, { heartbeatSeconds: 5 })).status).toBe(200);
      const { takeoversHeldUntil } = await grant();
      expect(await grant()).toMatchObject({ term: 2 });
      expect(takeoversHeldUntil?.getTime()).toBeGreaterThan(Date.now() + 3_600_000);
    });

    it('each follower of events starts anew, since places of the feed that were lost would be given again', async () => {
      const places = async () => {
        const [row] = await plane.database.query<{ last: number; pruned: number }>(
          `SELECT last_position::float8 AS last, pruned_through::float8 AS pruned FROM change_feed_sequencer`,
        );
        return row ?? { last: 0, pruned: 0 };
      };
      await plane.app.get(Sequencer).sync();
      const before = await places();
      await remember(PROMOTED);
      await plane.app.get(ServerWatch).check();
      // Whatever else is open in the database holds numbering back for a moment.
      const numbered = async () => {
        await plane.app.get(Sequencer).sync();
        return places();
      };
      const after = await until(numbered, ({ last, pruned }) => last > pruned);
      expect(after.pruned).toBeGreaterThanOrEqual(before.last + 1_000_000_000);
      const [row] = await plane.database.query<{ rows: number; first: number; last: number }>(
        `SELECT count(*)::int AS rows, min(position)::float8 AS first, max(position)::float8 AS last
           FROM change_feed WHERE position > $1`,
        [after.pruned],
      );
      expect(row).toEqual({ rows: after.last - after.pruned, first: after.pruned + 1, last: after.last });
    });

    it('rows of the feed from a server that counted further are taken in, and numbered like all others', async () => {
      const [row] = await plane.database.query<{ id: number }>(
        `INSERT INTO change_feed (kind, resource_type, resource_id, xid)
         VALUES ('test.changed', 'test', 'foreign', ((pg_current_xact_id()::text)::bigint + 1000000)::text::xid8)
         RETURNING id::int`,
      );
      const stamp = async () => {
        const rows = await plane.database.query<{ xid: string; numbered: boolean }>(
          `SELECT xid::text, position IS NOT NULL AS numbered FROM change_feed WHERE id = $1`,
          [row?.id],
        );
        return rows[0];
      };
      await plane.app.get(Sequencer).sync();
      expect((await stamp())?.numbered).toBe(false);
      // Any instance that starts takes them in before it reads.
      const beside = await startControlPlane({ ...WITHOUT_WORKERS, beside: plane });
      try {
        // Of two instances one numbers at a time, and only the new one looks so far down.
        const adopted = async () => {
          await beside.app.get(Sequencer).sync();
          return stamp();
        };
        expect(await until(adopted, (row) => row?.numbered === true)).toEqual({ xid: '0', numbered: true });
        const seen: string[] = [];
        beside.app
          .get(ChangeReader)
          .subscribe((changes) => seen.push(...changes.map((change) => change.resourceId)));
        await given(plane).cluster();
        await beside.app.get(ChangeReader).sync();
        expect(seen).not.toContain('foreign');
        expect(seen.length).toBeGreaterThan(0);
      } finally {
        await beside.close();
      }
    });

    it('without the right to read the identifier, works by the timeline and says what is missing', async () => {
      const own = await startControlPlane(WITHOUT_WORKERS);
      try {
        const log = collectLog(own, 'warn');
        const admin = await openSecondSession(own);
        await admin.query('REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC');
        await admin.end();
        const watch = own.app.get(ServerWatch);
        await watch.check();
        await watch.check();
        expect(log.filter(({ msg }) => msg.includes('pg_control_system()'))).toHaveLength(1);
        const { id } = await given(own).cluster();
        expect((await own.api.put(`/clusters/${id}/policy`, {})).status).toBe(200);
        await own.database.query('UPDATE installation SET timeline_id = 7');
        await watch.check();
        expect((await own.api.get(`/clusters/${id}/authority`)).body).toMatchObject({ term: 2 });
        const [row] = await own.database.query(
          'SELECT system_identifier IS NOT NULL AS kept FROM installation',
        );
        expect(row).toEqual({ kept: true });
      } finally {
        await own.close();
      }
    });
  });

  describe('held against takeovers', () => {
    it('no longer than the longest lease and some grace, where nothing was lost and that is known', async () => {
      const [first = '', other = ''] = await Promise.all(
        [1, 2].map(async () => (await given(plane).cluster()).id),
      );
      const holds = plane.app.get(TakeoverHolds);
      const begin = (cause: HoldCause = 'mass_lapse') =>
        plane.app.get(Transactor).observe(systemActor('test'), async (tx) => ({
          result: await holds.begin(tx, [first, other], cause),
        }));
      holds.boundBy(async () => new Map([[first, 30]]));
      await begin();
      expect([await heldSeconds(first), await heldSeconds(other)]).toEqual([90, 60]);
      holds.boundBy(async () => new Map([[first, 1_000_000]]));
      await begin();
      expect(await heldSeconds(first)).toBeGreaterThanOrEqual(3_660);
      const until = (await authorityOf(first)).takeoversHeldUntil;
      holds.boundBy(async () => new Map([[first, 30]]));
      await begin();
      expect((await authorityOf(first)).takeoversHeldUntil).toBe(until);
      // What was lost may have been longer than all that is known.
      await begin('restore');
      expect(await heldSeconds(other)).toBeGreaterThanOrEqual(3_660);
    });

    it('by a mass lapse, which is an alarm until it has ended', async () => {
      const { id } = await given(plane).cluster();
      const transactor = plane.app.get(Transactor);
      const lapses = plane.app.get(MassLapses);
      const log = collectLog(plane, 'info');
      const lapse = { since: new Date(), lapsed: 15, population: 20 };
      const note = (found: typeof lapse | null) =>
        transactor.observe(systemActor('test'), async (tx) => ({
          result: undefined,
          events: await lapses.note(tx, id, 'leases', found),
        }));
      const gauge = async () =>
        /^fabric_mass_lapses\{kind="leases"\} (\d+)$/m.exec((await api.get('//metrics')).body)?.[1];
      await note(lapse);
      await note({ ...lapse, lapsed: 16 });
      expect(await transactor.read((tx) => lapses.list(tx, [id]))).toEqual([
        { clusterId: id, kind: 'leases', ...lapse },
      ]);
      expect(await gauge()).toBe('1');
      expect((await authorityOf(id)).takeoversHeldUntil).not.toBeNull();
      await note(null);
      await note(null);
      expect(await transactor.read((tx) => lapses.list(tx, 'all'))).toEqual([]);
      expect(await gauge()).toBe('0');
      expect(log.filter(({ msg }) => msg.startsWith('mass lapse')).map(({ level }) => level)).toEqual([
        'error',
        'info',
      ]);
      expect(await events(id, 'authority.mass_lapse_began')).toHaveLength(1);
      expect(await events(id, 'authority.mass_lapse_ended')).toHaveLength(1);
    });
  });
});

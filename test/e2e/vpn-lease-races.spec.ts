import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '../../src/common/database/database.js';
import { sql } from '../../src/common/database/sql.js';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { type Actor, systemActor } from '../../src/common/request/actor.js';
import { type RequestContext, runInRequest } from '../../src/common/request/request-context.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import type { Tx } from '../../src/common/transaction/tx.js';
import { renewed } from '../../src/modules/vpn/lease.js';
import { LeaseAcquiresService } from '../../src/modules/vpn/lease-acquires.service.js';
import { LeaseReleasesService } from '../../src/modules/vpn/lease-releases.service.js';
import { LeaseRenewals } from '../../src/modules/vpn/lease-renewals.service.js';
import { LeasesRepository } from '../../src/modules/vpn/leases.repository.js';
import { type Answer, apiClient } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { several } from '../support/given.js';
import { openSecondSession, type SecondSession } from '../support/second-session.js';
import { until } from '../support/until.js';
import { type Lease, stopClock, type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };
const NODES = 10;

let plane: ControlPlane;
let stage: VpnStage;
let nodes: VpnNode[];
let one: VpnNode;
let two: VpnNode;
let tunnel: VpnTunnel;
let session: SecondSession;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  stage = await VpnStage.open(plane);
  nodes = await stage.nodes(NODES);
  [one, two] = nodes as [VpnNode, VpnNode];
  session = await openSecondSession(plane);
  await stopClock(plane);
});
afterAll(async () => {
  await session?.end();
  await plane?.close();
});
beforeEach(async () => {
  tunnel = await stage.connection(nodes);
});

const refusal = ({ status, body }: Answer) => ({ status, code: body.code });
const lost = { status: 409, code: 'lease_lost' };
const token = (answer: Answer): number => answer.body.fencingToken;

/** Holds the lock under which everything is decided that concerns the connection's lease. */
async function holdLock(): Promise<() => Promise<void>> {
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM vpn_connections WHERE id = $1 FOR NO KEY UPDATE', [tunnel.id]);
  return async () => void (await session.query('COMMIT'));
}

describe('two hundred acquisitions of one free connection', () => {
  it('come to one owner and 199 clean refusals, while heartbeats and probes do not notice', async () => {
    const racers = [...nodes];
    racers.push(...(await stage.nodes(200 - racers.length)));
    tunnel = await stage.connection(racers);
    const racing = racers.map((racer) => tunnel.acquire(racer));
    const beats = nodes.map(async ({ agent, node }) => {
      const startedAt = performance.now();
      const answers = [
        await agent.post('/node-agents/me/heartbeat', node.heartbeat()),
        await plane.api.get('//livez'),
      ];
      return { answers, ms: performance.now() - startedAt };
    });
    const startedAt = performance.now();
    const answers = await Promise.all(racing);
    const ms = performance.now() - startedAt;
    const beaten = await Promise.all(beats);

    expect(countByStatus(answers)).toEqual({ 201: 1, 409: 199 });
    const owner = answers.find(({ status }) => status === 201)?.body as Lease;
    for (const { status, body } of answers)
      if (status === 409) expect(body).toMatchObject({ code: 'lease_held', expiresAt: owner.expiresAt });
    expect(await tunnel.leases()).toEqual([expect.objectContaining({ fencingToken: owner.fencingToken })]);
    for (const { answers: both } of beaten) expect(both.map(({ status }) => status)).toEqual([200, 200]);
    // Bounds that only a queue on the pool, or one refusal after the other by locks, would break.
    expect(Math.max(...beaten.map((beat) => beat.ms))).toBeLessThan(60_000);
    expect(ms).toBeLessThan(60_000);
  });

  it('take no lock and write nothing once somebody has it', async () => {
    await tunnel.acquire(one);
    const release = await holdLock();
    try {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) => tunnel.acquire(nodes[1 + (index % (NODES - 1))] as VpnNode)),
      );
      expect(answers.map(refusal)).toEqual(answers.map(() => ({ status: 409, code: 'lease_held' })));
      expect((await tunnel.acquire(one)).status).toBe(200);
    } finally {
      await release();
    }
  });

  it('wait in the process and not on the pool, and give up with 503', async () => {
    const release = await holdLock();
    const pool = plane.app.get(Database).pool;
    try {
      let answered = 0;
      const racing = Array.from({ length: 60 }, async (_, index) => {
        const answer = await tunnel.acquire(nodes[index % NODES] as VpnNode);
        answered += 1;
        return answer;
      });
      await session.untilWaiting();
      // Who they are is asked of the pool first; what they wait for then is not. How many have given up by then is the
      // machine's affair.
      const seen = await until(
        async () => ({ isCalm: pool.waitingCount === 0 && pool.totalCount - pool.idleCount < 5, answered }),
        ({ isCalm, answered: done }) => isCalm || done === 60,
      );
      expect(seen.isCalm && seen.answered < 60).toBe(true);
      expect((await one.agent.post('/node-agents/me/heartbeat', one.node.heartbeat())).status).toBe(200);
      const answers = await Promise.all(racing);
      expect(countByStatus(answers)).toEqual({ 503: 60 });
      for (const { headers, body } of answers) {
        expect(body.code).toBe('unavailable');
        expect(headers.get('retry-after')).toBe('1');
      }
    } finally {
      await release();
    }
    expect((await tunnel.acquire(one)).status).toBe(201);
  });
});

describe('whoever waits for the lock', () => {
  it('to renew beyond the end of its lease has lost it', async () => {
    const held = token(await tunnel.acquire(one));
    const release = await holdLock();
    const [own, admin] = [
      tunnel.renew(one, held),
      tunnel.act('renew', { nodeId: one.id, fencingToken: held }),
    ];
    await session.untilWaiting(1);
    await stage.advance(30);
    await release();
    expect([refusal(await own), refusal(await admin)]).toEqual([lost, lost]);
    expect((await tunnel.leases())[0]).toMatchObject({ status: 'expired', renewedAt: expect.any(String) });
  });

  it('to release beyond the end of its lease has lost it', async () => {
    const held = token(await tunnel.acquire(one));
    const release = await holdLock();
    const releasing = tunnel.release(one, held);
    await session.untilWaiting();
    await stage.advance(30);
    await release();
    expect(refusal(await releasing)).toEqual(lost);
  });

  it('to renew a lease that is fenced meanwhile has lost it', async () => {
    const held = token(await tunnel.acquire(one));
    await session.query('BEGIN');
    await session.query('SELECT 1 FROM vpn_connections WHERE id = $1 FOR NO KEY UPDATE', [tunnel.id]);
    const renewing = tunnel.renew(one, held);
    await session.untilWaiting();
    await session.query(
      `UPDATE vpn_connection_leases SET status = 'fenced', ended_at = fabric_now(), end_reason = 'x' WHERE connection_id = $1`,
      [tunnel.id],
    );
    await session.query('COMMIT');
    expect(refusal(await renewing)).toEqual(lost);
  });

  it('to renew in time renews, and holds up nobody else meanwhile', async () => {
    const other = await stage.connection([two]);
    const [held, others] = [token(await tunnel.acquire(one)), token(await other.acquire(two))];
    const release = await holdLock();
    const renewing = tunnel.renew(one, held);
    expect((await other.renew(two, others)).status).toBe(200);
    await session.untilWaiting();
    expect((await other.renew(two, others)).status).toBe(200);
    await release();
    expect((await renewing).status).toBe(200);
  });

  it('to acquire what is taken meanwhile is refused', async () => {
    const release = await holdLock();
    const acquiring = [tunnel.acquire(one), tunnel.acquire(two)];
    await session.untilWaiting();
    await release();
    expect(countByStatus(await Promise.all(acquiring))).toEqual({ 201: 1, 409: 1 });
  });
});

describe('many renewals', () => {
  it('share one commit, and are each answered for themselves', async () => {
    const tunnels = await several(30, () => stage.connection([one, two]));
    const held = await Promise.all(tunnels.map(async (each) => token(await each.acquire(one))));
    await stage.advance(3);
    const renewals = plane.app.get(LeaseRenewals);
    const ask = (connectionId: string, index: number, { id: nodeId }: VpnNode) =>
      renewals.renewOwn({ clusterId: stage.clusterId, connectionId, nodeId, fencingToken: held[index] ?? 0 });
    const own = Promise.all(tunnels.map(({ id }, index) => ask(id, index, one)));
    const others = Promise.allSettled(tunnels.map(({ id }, index) => ask(id, index, two)));
    for (const { lease, now } of await own) expect(lease.renewedAt).toEqual(now);
    for (const { status } of await others) expect(status).toBe('rejected');
    const rows = await plane.database.query<{ xmin: string; renewal_count: number }>(
      'SELECT xmin::text, renewal_count FROM vpn_connection_leases WHERE connection_id = ANY($1)',
      [tunnels.map(({ id }) => id)],
    );
    expect(rows.map((row) => row.renewal_count)).toEqual(tunnels.map(() => 1));
    expect(new Set(rows.map((row) => row.xmin)).size).toBe(1);
  });

  it('stay HOT', async () => {
    await tunnel.acquire(one);
    const [transactor, leases] = [plane.app.get(Transactor), plane.app.get(LeasesRepository)];
    /** What the session of a transaction has counted of the table; others may tell of what they did long ago at any time. */
    const counted = async (tx: Tx) => {
      const [row] = await tx.query<{ updates: number; hot: number }>(sql`
        SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot
          FROM pg_stat_xact_user_tables WHERE relname = 'vpn_connection_leases'`);
      return row ?? { updates: 0, hot: 0 };
    };
    const renew = () =>
      transactor.observe(systemActor('test'), async (tx) => {
        const [state] = await leases.states(tx, [tunnel.id]);
        if (state?.lease == null) throw new Error('nobody holds the connection');
        const before = await counted(tx);
        await leases.renewAll(tx, [renewed(state.lease, await tx.clock(), 30)]);
        const after = await counted(tx);
        return { result: { updates: after.updates - before.updates, hot: after.hot - before.hot } };
      });
    await renew();
    const all = { updates: 0, hot: 0 };
    for (let round = 0; round < 60; round += 1) {
      const { updates, hot } = await renew();
      all.updates += updates;
      all.hot += hot;
    }
    expect(all.updates).toBe(60);
    expect(all.hot / all.updates).toBeGreaterThan(0.95);
  });
});

describe('many acquisitions and releases of nodes', () => {
  /** The request of a node, as it is when its handler runs. */
  const request = (requestId: string, { id }: VpnNode, operationId: string): RequestContext => ({
    ...{
      requestId,
      operationId,
      actor: nodeActor(id),
      clusterId: stage.clusterId,
      traceParent: null,
      traceId: null,
    },
    ...{ method: 'POST', path: '/', query: '', ip: '127.0.0.1', userAgent: `agent of ${id}`, ifMatch: null },
    ...{
      planHash: null,
      dryRun: false,
      idempotency: null,
      highRisk: false,
      guardedByAuthority: false,
      unit: null,
    },
  });
  const nodeActor = (id: string): Actor => ({
    ...{ type: 'node', id, displayName: id, ip: '127.0.0.1', userAgent: `agent of ${id}` },
  });

  it('share one commit, and are each answered, refused and told of by themselves', async () => {
    const [acquires, releases] = [plane.app.get(LeaseAcquiresService), plane.app.get(LeaseReleasesService)];
    const { clusterId } = stage;
    const three = nodes[2] as VpnNode;
    const tunnels = await several(12, () => stage.connection([one, two]));
    const calls = tunnels.flatMap((each, index) => [
      { connectionId: each.id, by: one, requestId: `one-${index}` },
      { connectionId: each.id, by: two, requestId: `two-${index}` },
    ]);
    const stranger = { connectionId: tunnels[0]?.id ?? '', by: three, requestId: 'three' };
    const acquire = ({ connectionId, by, requestId }: (typeof calls)[number]) =>
      runInRequest(request(requestId, by, 'acquireOwnVpnLease'), () =>
        acquires.acquire(nodeActor(by.id), {
          clusterId,
          connectionId,
          nodeId: by.id,
          tokenSeen: null,
          isOwn: true,
        }),
      );
    const answers = await Promise.allSettled([...calls, stranger].map(acquire));
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.lease] : []));
    expect(given.map(({ connectionId, ownerNodeId }) => [connectionId, ownerNodeId])).toEqual(
      tunnels.map(({ id }) => [id, one.id]),
    );
    const codes = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason.code] : []));
    expect(codes).toEqual([...tunnels.map(() => 'lease_held'), 'not_found']);
    const ids = tunnels.map(({ id }) => id);
    const xmins = async () =>
      new Set(
        (
          await plane.database.query<{ xmin: string }>(
            'SELECT xmin::text FROM vpn_connection_leases WHERE connection_id = ANY($1)',
            [ids],
          )
        ).map(({ xmin }) => xmin),
      ).size;
    expect(await xmins()).toBe(1);

    const ended = await Promise.all(
      given.map(({ connectionId, fencingToken }, index) =>
        runInRequest(request(`end-${index}`, one, 'releaseOwnVpnLease'), () =>
          releases.release(nodeActor(one.id), {
            ...{ clusterId, connectionId, nodeId: one.id, fencingToken, isOwn: true },
          }),
        ),
      ),
    );
    expect(ended.map(({ lease }) => lease.status)).toEqual(tunnels.map(() => 'released'));
    expect(await xmins()).toBe(1);
    const events = await plane.database.query<{ action: string; request_id: string; actor_id: string }>(
      `SELECT action, request_id, actor_id FROM audit_events
        WHERE resource_id = ANY($1) AND action LIKE 'vpn_lease.%' ORDER BY id`,
      [ids],
    );
    const event = (action: string, request_id: string) => ({ action, request_id, actor_id: one.id });
    expect(events).toEqual([
      ...tunnels.map((_, index) => event('vpn_lease.acquired', `one-${index}`)),
      ...tunnels.map((_, index) => event('vpn_lease.released', `end-${index}`)),
    ]);
  });

  it('wait for their own connection and node, and for nobody else', async () => {
    const [other, third] = [await stage.connection([two]), await stage.connection([two])];
    const release = await holdLock();
    const acquiring = tunnel.acquire(one);
    await session.untilWaiting();
    const others = token(await other.acquire(two));
    expect((await other.release(two, others)).status).toBe(200);
    await release();
    const held = token(await acquiring);
    const releaseAgain = await holdLock();
    const releasing = tunnel.release(one, held);
    await session.untilWaiting();
    expect((await other.acquire(two)).status).toBe(201);
    await releaseAgain();
    expect((await releasing).status).toBe(200);

    await session.query('BEGIN');
    await session.query(
      'SELECT 1 FROM cluster_memberships WHERE cluster_id = $1 AND node_id = $2 FOR NO KEY UPDATE',
      [stage.clusterId, one.id],
    );
    const byOne = tunnel.acquire(one);
    await session.untilWaiting();
    expect((await third.acquire(two)).status).toBe(201);
    await session.query('COMMIT');
    expect((await byOne).status).toBe(201);
  });
});

describe('expiry', () => {
  const sweep = () => plane.app.get(Jobs).runNow('vpn', 'lease-expiry');
  const statusOf = async (each: VpnTunnel) => {
    const [row] = await plane.database.query<{ status: string }>(
      'SELECT status FROM vpn_connection_leases WHERE connection_id = $1 ORDER BY fencing_token DESC',
      [each.id],
    );
    return row?.status;
  };
  /** Another sweep, of the worker's own, may be at it just then: it is left to that one. */
  const untilExpired = (each: VpnTunnel) =>
    until(
      () => statusOf(each),
      (status) => status === 'expired',
    );
  const expiries = async (each: VpnTunnel) =>
    (await each.events()).filter(({ action }) => action === 'vpn_lease.expired');

  it('is written down once, by however many workers, however late', async () => {
    const tunnels = [tunnel, await stage.connection([one]), await stage.connection([one])];
    for (const each of tunnels) await each.acquire(one);
    await stage.advance(7_200);
    await Promise.all([
      sweep(),
      sweep(),
      sweep(),
      plane.app.get(Jobs).runNow('vpn', 'lease-expiry', tunnel.id),
    ]);
    await sweep();
    for (const each of tunnels) {
      await untilExpired(each);
      expect(await expiries(each)).toEqual([
        expect.objectContaining({
          actor_type: 'system',
          after: expect.objectContaining({ endReason: 'expired' }),
        }),
      ]);
    }
  });

  it('leaves alone what is in force, also when it is told to look at it', async () => {
    const held = token(await tunnel.acquire(one));
    await stage.advance(29);
    await tunnel.renew(one, held);
    await stage.advance(2);
    await plane.app.get(Jobs).runNow('vpn', 'lease-expiry', tunnel.id);
    await sweep();
    expect(await statusOf(tunnel)).toBe('active');
    expect((await tunnel.renew(one, held)).status).toBe(200);
  });

  it('of a lease that is being renewed is left to the next look', async () => {
    await tunnel.acquire(one);
    const release = await holdLock();
    await stage.advance(30);
    await sweep();
    expect(await statusOf(tunnel)).toBe('active');
    await release();
    await sweep();
    await untilExpired(tunnel);
  });
});

describe('a clock that steps back by what is not recorded yet', () => {
  /** The clock shows this many seconds more for as long as `meanwhile` takes, and nobody writes that down. */
  async function ahead<R>(seconds: number, meanwhile: () => Promise<R>): Promise<R> {
    const [before] = await plane.database.query<{ at: Date }>('SELECT fabric_now() AS at');
    await stage.advance(seconds);
    const result = await meanwhile();
    await plane.database.query('UPDATE database_clock SET recorded_at = $1', [before?.at]);
    return result;
  }
  const timeOf = ({ body }: Answer) => Date.parse(body.serverTime);
  const fence = (body = {}) => tunnel.act('fence', { reason: 'gone', ...body });

  it('leaves the time of decisions over a connection where it was', async () => {
    const held = await ahead(20, () => tunnel.acquire(one));
    const times = [timeOf(held)];
    const then = async (answer: Promise<Answer>) => times.push(timeOf(await answer));
    await then(tunnel.acquire(one));
    await then(tunnel.active());
    await then(tunnel.renew(one, token(held)));
    await then(ahead(20, () => tunnel.renew(one, token(held))));
    await then(tunnel.renew(one, token(held)));
    await then(tunnel.act('renew', { nodeId: one.id, fencingToken: token(held) }));
    await then(ahead(25, () => tunnel.release(one, token(held))));
    await then(tunnel.acquire(two));
    await then(ahead(40, () => fence()));
    await then(fence());
    await then(stage.api.get(`${tunnel.path}/lease/explain?nodeId=${one.id}`));
    await then(tunnel.acquire(one));
    expect(times.filter(Number.isFinite)).toHaveLength(13);
    expect([...times].sort((earlier, later) => earlier - later)).toEqual(times);
  });

  it.each<[string, (held: number) => Promise<Answer>]>([
    ['to renew', (held) => tunnel.renew(one, held)],
    ['to renew for its owner', (held) => tunnel.act('renew', { nodeId: one.id, fencingToken: held })],
    ['to release', (held) => tunnel.release(one, held)],
    ['to fence that very token', (held) => fence({ fencingToken: held })],
  ])('does not bring back a lease that was refused as over, %s', async (_, call) => {
    const held = token(await tunnel.acquire(one));
    expect(refusal(await ahead(30, () => call(held)))).toEqual(lost);
    expect(refusal(await tunnel.renew(one, held))).toEqual(lost);
    expect((await tunnel.active()).status).toBe(404);
    // Its end is the first instant at which it can be another's, whatever the clock shows.
    const next = await tunnel.held(two);
    const [, former] = await tunnel.leases();
    expect(Date.parse(next.acquiredAt)).toBeGreaterThanOrEqual(Date.parse(former?.endedAt ?? ''));
    expect((await tunnel.events()).filter(({ action }) => action === 'vpn_lease.expired')).toHaveLength(1);
  });

  it('does not bring back one that the worker has written down, nor lets anybody follow before its end', async () => {
    await tunnel.acquire(one);
    await ahead(45, () => plane.app.get(Jobs).runNow('vpn', 'lease-expiry', tunnel.id));
    const next = await tunnel.held(two);
    const [, former] = await tunnel.leases();
    expect(former?.status).toBe('expired');
    expect(Date.parse(next.acquiredAt)).toBeGreaterThanOrEqual(Date.parse(former?.endedAt ?? '') + 15_000);
  });
});

describe('the database as the last referee', () => {
  const row = (change: Record<string, unknown>) => {
    const values = {
      id: 'gen_random_uuid()',
      cluster_id: `'${stage.clusterId}'`,
      connection_id: `'${tunnel.id}'`,
      owner_node_id: `'${one.id}'`,
      fencing_token: '4294967296 + (SELECT last_sequence FROM vpn_connections WHERE id = $1)',
      // By the time that counts, so that no worker finds it over.
      acquired_at: 'fabric_now()',
      renewed_at: 'fabric_now()',
      expires_at: `fabric_now() + interval '30 s'`,
      ttl_seconds: '30',
      ...change,
    };
    return session.query(
      `INSERT INTO vpn_connection_leases (${Object.keys(values).join(', ')})
       SELECT ${Object.values(values).join(', ')} WHERE $1::uuid IS NOT NULL`,
      [tunnel.id],
    );
  };
  const next = () =>
    session.query('UPDATE vpn_connections SET last_sequence = last_sequence + 1 WHERE id = $1', [tunnel.id]);
  const change = (set: string, where = 'true') =>
    session.query(`UPDATE vpn_connection_leases SET ${set} WHERE connection_id = $1 AND ${where}`, [
      tunnel.id,
    ]);
  const refuses = (work: Promise<unknown>, constraint: string) =>
    expect(work).rejects.toMatchObject({ constraint });

  it('keeps a connection to one active lease, of an allowed member, with a token above all before', async () => {
    await next();
    await row({});
    await next();
    await refuses(row({}), 'vpn_connection_leases_one_active');
    await change(`status = 'released', ended_at = acquired_at, end_reason = 'released'`);
    await refuses(row({ fencing_token: '4294967297' }), 'vpn_connection_leases_token_grows');
    await refuses(row({ fencing_token: '4294967299' }), 'vpn_connection_leases_token_grows');
    await refuses(row({ fencing_token: '2' }), 'vpn_connection_leases_token_grows');
    const stranger = (await stage.node()).id;
    await refuses(row({ owner_node_id: `'${stranger}'` }), 'vpn_connection_leases_owner_is_allowed');
    await row({});
    await refuses(
      session.query('DELETE FROM vpn_connection_allowed_nodes WHERE connection_id = $1', [tunnel.id]),
      'vpn_connection_allowed_nodes_without_lease',
    );
    await refuses(
      session.query(`UPDATE vpn_connections SET desired_state = 'disabled' WHERE id = $1`, [tunnel.id]),
      'vpn_connections_disabled_without_lease',
    );
    await refuses(
      session.query('DELETE FROM vpn_connection_leases WHERE connection_id = $1 AND status = $2', [
        tunnel.id,
        'active',
      ]),
      'vpn_connection_leases_active_stays',
    );
    await change(`status = 'expired', ended_at = expires_at, end_reason = 'expired'`, `status = 'active'`);
    await session.query(`UPDATE vpn_connections SET desired_state = 'disabled' WHERE id = $1`, [tunnel.id]);
    await next();
    await refuses(row({}), 'vpn_connection_leases_enabled');
  });

  it('keeps what is finished finished, and owner, token and sequence as they are', async () => {
    const held = token(await tunnel.acquire(one));
    await refuses(change(`owner_node_id = '${two.id}'`), 'vpn_connection_leases_keep_identity');
    await refuses(change('fencing_token = fencing_token + 1'), 'vpn_connection_leases_keep_identity');
    await refuses(
      change(`renewal_count = renewal_count + 1, expires_at = expires_at - interval '1 s'`),
      'vpn_connection_leases_renewal_only_extends',
    );
    await refuses(
      change(`eligible_until = expires_at - interval '1 s'`),
      'vpn_connection_leases_within_role',
    );
    await refuses(
      change(`status = 'expired', ended_at = acquired_at, end_reason = 'x'`),
      'vpn_connection_leases_ended_at',
    );
    await tunnel.release(one, held);
    for (const revival of [`status = 'active', ended_at = NULL, end_reason = NULL`, `end_reason = 'other'`])
      await refuses(change(revival), 'vpn_connection_leases_ended_is_final');
    for (const [set, constraint] of [
      ['last_sequence = last_sequence - 1', 'vpn_connections_sequence_only_grows'],
      [`decided_at = decided_at - interval '1 ms'`, 'vpn_connections_decisions_go_forward'],
      ['decided_at = NULL', 'vpn_connections_decisions_go_forward'],
    ] as const)
      await refuses(
        session.query(`UPDATE vpn_connections SET ${set} WHERE id = $1`, [tunnel.id]),
        constraint,
      );
    await next();
    await refuses(
      row({ acquired_at: `(SELECT decided_at - interval '1 ms' FROM vpn_connections WHERE id = $1)` }),
      'vpn_connection_leases_begin_last',
    );
  });
});

describe('the statements of leases', () => {
  /** How many plans all connections of an instance keep. */
  async function plans({ app }: ControlPlane): Promise<number> {
    const { pool } = app.get(Database);
    const clients = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
    const counts = await Promise.all(
      clients.map(async (client) => {
        const { rows } = await client.query(
          `SELECT count(*)::int AS n FROM pg_prepared_statements AS p WHERE p.name LIKE 'fabric_%'`,
        );
        return rows[0].n as number;
      }),
    );
    for (const client of clients) client.release();
    return counts.reduce((sum, count) => sum + count, 0);
  }

  it('are planned once for each connection, and never where transactions are pooled in between', async () => {
    const { database } = plane.runtime;
    const directUrl = `${database.directUrl}?application_name=direct`;
    const runtime = { ...plane.runtime, database: { ...database, directUrl } };
    const pooled = await startControlPlane({ beside: { ...plane, runtime }, config: { limits } });
    for (const at of [plane, pooled]) {
      const agent = apiClient(at.url, (await one.node.requestToken()).body.access_token);
      const held = token(await tunnel.acquire({ agent }));
      expect((await tunnel.renew({ agent }, held)).status).toBe(200);
      expect((await tunnel.release({ agent }, held)).status).toBe(200);
    }
    expect(await plans(plane)).toBeGreaterThan(10);
    expect(await plans(pooled)).toBe(0);
    await pooled.close();
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { LeasesRepository } from '../../src/modules/vpn/leases.repository.js';
import { apiClient } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { heldPolls } from '../support/held-polls.js';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.js';
import { type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };
/** The shortest that there is: a job waits for its end in real time. */
const TTL_SECONDS = 5;
const TIMEOUT_MS = 300_000;

const backends = hasRedis ? (['postgres', 'redis'] as const) : (['postgres'] as const);
if (!hasRedis)
  process.stdout.write('expiry: redis-server is not on PATH, its half of the suite is skipped\n');

describe.each(backends)('the end of leases, by jobs on %s', (backend) => {
  let redis: TestRedis | null = null;
  /** Hands jobs to others, and runs none. */
  let api: ControlPlane;
  const workers: ControlPlane[] = [];
  let stage: VpnStage;
  let one: VpnNode;
  let two: VpnNode;
  let tunnel: VpnTunnel;
  beforeAll(async () => {
    if (backend === 'redis') redis = await startRedis();
    api = await startControlPlane({ config: { limits, role: 'api', redisUrl: redis?.url ?? null } });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await api?.close();
    await redis?.stop();
  });
  beforeEach(async () => {
    stage = await VpnStage.open(api);
    [one, two] = (await stage.nodes(2)) as [VpnNode, VpnNode];
    tunnel = await stage.connection([one, two], { leaseTtlSeconds: TTL_SECONDS });
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close()));
    jest.restoreAllMocks();
  });

  async function startWorkers(count: number): Promise<ControlPlane[]> {
    const config = { limits, redisUrl: redis?.url ?? null };
    const started = await Promise.all(
      Array.from({ length: count }, () => startControlPlane({ beside: api, config })),
    );
    workers.push(...started);
    return started;
  }

  const ends = async (each: VpnTunnel) =>
    (await each.events()).filter(({ action }) => action === 'vpn_lease.expired');

  async function untilWrittenDown(each: VpnTunnel): Promise<void> {
    while ((await ends(each)).length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  it(
    'is looked at by a job of its own when it is due, written down once, and told to a candidate',
    async () => {
      await startWorkers(2);
      const looks = workers.map(({ app }) => jest.spyOn(app.get(LeasesRepository), 'lockOver'));
      const looked = () =>
        looks.some(({ mock }) =>
          mock.calls.some(([, which]) => which !== 'all' && which.includes(tunnel.id)),
        );
      const { access_token } = created(await two.node.requestToken()) as { access_token: string };
      const path = '/node-agents/me/snapshot';
      const candidate = apiClient(api.url, access_token);
      const etag = (await candidate.get(path)).headers.get('etag') ?? '';
      const poll = candidate.get(`${path}?waitSeconds=55`, undefined, {
        'if-none-match': etag,
        prefer: 'lease-hints',
      });
      // Held before the lease begins: on a slow machine it could come later than the end.
      await heldPolls(api, 1);
      const { expiresAt } = await tunnel.held(one);
      await untilWrittenDown(tunnel);
      while (!looked()) await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await ends(tunnel)).toEqual([
        expect.objectContaining({
          actor_type: 'system',
          after: expect.objectContaining({ status: 'expired', endedAt: expiresAt }),
        }),
      ]);
      const { status, headers } = await poll;
      expect([status, headers.get('lease-hints')]).toEqual([304, tunnel.id]);
    },
    TIMEOUT_MS,
  );

  it(
    'is found by a sweep where its job was lost',
    async () => {
      const lost = jest.spyOn(api.app.get(Jobs), 'enqueueAll').mockResolvedValue();
      await startWorkers(1);
      await tunnel.held(one);
      await untilWrittenDown(tunnel);
      expect(await ends(tunnel)).toHaveLength(1);
      expect(lost).toHaveBeenCalledWith('vpn', 'lease-expiry', [expect.objectContaining({ id: tunnel.id })]);
    },
    TIMEOUT_MS,
  );

  // The clock stands still from here on.
  it(
    'holds without any worker, and is written down by those that come hours later, once, and no later lease with it',
    async () => {
      const tunnels = [tunnel, ...(await Promise.all([0, 1, 2].map(() => stage.connection([one, two]))))];
      const first = await Promise.all(tunnels.map((each) => each.held(one)));
      await stage.advance(7_200);
      const [followed, ...left] = tunnels as [VpnTunnel, ...VpnTunnel[]];
      const next = await followed.held(two);
      expect((await left[0]?.active())?.status).toBe(404);
      expect(await ends(left[0] as VpnTunnel)).toEqual([]);
      await startWorkers(2);
      for (const each of left) await untilWrittenDown(each);
      // Both have swept by now, and once more.
      for (const { app } of workers) await app.get(Jobs).runNow('vpn', 'lease-expiry');
      for (const [at, each] of tunnels.entries())
        expect(await ends(each)).toEqual([
          expect.objectContaining({ after: expect.objectContaining({ endedAt: first[at]?.expiresAt }) }),
        ]);
      expect((await followed.active()).body.fencingToken).toBe(next.fencingToken);
    },
    TIMEOUT_MS,
  );

  it(
    'found by renewals that share a transaction is told under the request that found it',
    async () => {
      const tunnels = [tunnel, await stage.connection([one]), await stage.connection([one])];
      const held = await Promise.all(tunnels.map((each) => each.held(one)));
      // No worker is there that could find it first.
      await stage.advance(7_200);
      const answers = await Promise.all(
        tunnels.map(({ id }, at) =>
          one.agent.post(
            `/node-agents/me/vpn-connections/${id}/lease/renew`,
            { fencingToken: held[at]?.fencingToken },
            { 'x-request-id': `renews-${id}` },
          ),
        ),
      );
      expect(answers.map(({ status, body }) => [status, body.code])).toEqual(
        tunnels.map(() => [409, 'lease_lost']),
      );
      const rows = await api.database.query<{ id: string; request: string | null }>(
        `SELECT resource_id AS id, request_id AS request FROM audit_events
          WHERE action = 'vpn_lease.expired' AND resource_id = ANY($1) ORDER BY resource_id`,
        [tunnels.map(({ id }) => id)],
      );
      expect(rows).toEqual(
        tunnels
          .map(({ id }) => id)
          .sort()
          .map((id) => ({ id, request: `renews-${id}` })),
      );
    },
    TIMEOUT_MS,
  );
});

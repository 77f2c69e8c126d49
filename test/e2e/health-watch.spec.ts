import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { sql } from '../../src/common/database/sql.js';
import { HealthWatch } from '../../src/modules/nodes/health-watch.js';
import { NodeFacets } from '../../src/modules/nodes/node-facets.js';
import { countedNodeTables, HEALTH_EXPRESSION } from '../../src/modules/nodes/nodes.sql.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given, several } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';
import { until } from '../support/until.js';

/** Seconds between heartbeats: what is derived must not change while it is compared. */
const BEAT = 3_600;

describe('what the watch of health writes down', () => {
  let plane: ControlPlane;
  let watch: HealthWatch;
  let clusterId: string;
  let nodes: TestNode[];

  beforeAll(async () => {
    plane = await startControlPlane();
    watch = plane.app.get(HealthWatch);
    ({ id: clusterId } = await given(plane).cluster());
    await setPolicy({ heartbeatSeconds: BEAT });
    nodes = await several(5, () => admittedNode(plane, clusterId));
    await Promise.all(nodes.slice(1).map(beat));
  });
  afterAll(() => plane.close());

  const setPolicy = (policy: object) => plane.api.put(`/clusters/${clusterId}/policy`, policy);
  const beat = async (node: TestNode) => {
    const { status } = await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat());
    expect(status).toBe(200);
  };
  /** Of the node $2 of the cluster $1. */
  const ofNode = (text: string, ...more: unknown[]) => ({
    run: (node: TestNode) => plane.database.query(text, [clusterId, node.nodeId, ...more]),
  });
  const MINE = 'cluster_id = $1 AND node_id = $2';
  const role = (ends: string) =>
    ofNode(
      `INSERT INTO node_role_assignments AS r (id, cluster_id, node_id, role, valid_until, assigned_by_type, assigned_by_id)
       VALUES (gen_random_uuid(), $1, $2, 'file-storage-cache', ${ends}, 'system', 'test')
       ON CONFLICT (cluster_id, node_id, role, coalesce(organization_id, '00000000-0000-0000-0000-000000000000'::uuid))
         DO UPDATE SET status = 'active', valid_until = excluded.valid_until`,
    );
  const seen = (missed: number) =>
    ofNode(
      `UPDATE node_liveness SET last_seen_at = now() - make_interval(secs => $3) WHERE ${MINE}`,
      missed * BEAT,
    );
  const certificate = (start: string, end: string) =>
    ofNode(
      `INSERT INTO node_certificates (cluster_id, serial, node_id, authority_kid, key_thumbprint, issued_at, not_before, not_after)
       SELECT $1, upper(replace(gen_random_uuid()::text, '-', '')), $2, k.kid, 'x', ${start}, ${start}, ${end}
         FROM cluster_keys AS k WHERE k.cluster_id = $1 AND k.purpose = 'ca' LIMIT 1`,
    );

  const CHANGES: Record<string, { run(node: TestNode): Promise<unknown> }> = {
    'a heartbeat': ofNode(
      `INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) VALUES ($1, $2, now(), 1)
       ON CONFLICT (cluster_id, node_id) DO UPDATE SET last_seen_at = greatest(node_liveness.last_seen_at, excluded.last_seen_at)`,
    ),
    'a little silence': seen(1),
    'a silence': seen(5),
    'a long silence': seen(50),
    'a risky state': ofNode(
      `INSERT INTO node_risky_states (cluster_id, node_id, kind, since) VALUES ($1, $2, 'clone_suspected', now())
       ON CONFLICT (cluster_id, node_id, kind) DO UPDATE SET acknowledged_at = NULL, acknowledged_by_type = NULL, acknowledged_by_id = NULL`,
    ),
    'its acknowledgement': ofNode(
      `UPDATE node_risky_states SET acknowledged_at = now(), acknowledged_by_type = 'user', acknowledged_by_id = 'x' WHERE ${MINE}`,
    ),
    'the end of what is known of risky states': ofNode(`DELETE FROM node_risky_states WHERE ${MINE}`),
    'an old version': ofNode(`UPDATE cluster_memberships SET agent_version = '0.0.1' WHERE ${MINE}`),
    'a new version': ofNode(`UPDATE cluster_memberships SET agent_version = '9.0.0' WHERE ${MINE}`),
    'a capability': ofNode(
      `UPDATE cluster_memberships SET capabilities = '{can_run_file_cache}' WHERE ${MINE}`,
    ),
    'no capability': ofNode(`UPDATE cluster_memberships SET capabilities = '{}' WHERE ${MINE}`),
    'a stop': ofNode(
      `UPDATE cluster_memberships SET membership_status = 'disabled' WHERE ${MINE} AND membership_status = 'active'`,
    ),
    'going on': ofNode(
      `UPDATE cluster_memberships SET membership_status = 'active' WHERE ${MINE} AND membership_status = 'disabled'`,
    ),
    'a key less': ofNode(
      `UPDATE node_identities SET identity_status = 'revoked', revoked_at = now() WHERE ${MINE} AND identity_status = 'active'`,
    ),
    'its key again': ofNode(
      `UPDATE node_identities SET identity_status = 'active', revoked_at = NULL
        WHERE ${MINE} AND public_key <> '{}' AND NOT EXISTS (
          SELECT 1 FROM node_identities AS i WHERE i.cluster_id = $1 AND i.node_id = $2 AND i.identity_status = 'active')`,
    ),
    'a new key': ofNode(
      `INSERT INTO node_identities (id, cluster_id, node_id, public_key, key_thumbprint)
       VALUES (gen_random_uuid(), $1, $2, '{}', gen_random_uuid()::text) ON CONFLICT DO NOTHING`,
    ),
    'no new key': ofNode(`DELETE FROM node_identities WHERE ${MINE} AND public_key = '{}'`),
    'a role': role('NULL'),
    'a role that has ended': role(`now() - interval '1 hour'`),
    'a role less': ofNode(`UPDATE node_role_assignments SET status = 'disabled' WHERE ${MINE}`),
    'no role': ofNode(`DELETE FROM node_role_assignments WHERE ${MINE}`),
    'a certificate': certificate('now()', `now() + interval '1 day'`),
    'an expired certificate': certificate(`now() - interval '1 hour'`, `now() - interval '1 minute'`),
    'a revoked certificate': ofNode(
      `UPDATE node_certificates SET revoked_at = now(), revocation_reason = 'superseded' WHERE ${MINE}`,
    ),
    'no certificate': ofNode(`DELETE FROM node_certificates WHERE ${MINE}`),
    'a failed workload': ofNode(
      `INSERT INTO node_service_instances AS w (cluster_id, node_id, service_type, created_at, desired_state, runtime, config, secret_refs,
         restart_policy, when_control_plane_lost, privileged, desired_at, desired_by_type, desired_by_id, reported_state, reported_at)
       VALUES ($1, $2, 'synthetic.echo', now(), 'running', 'native', '{}', '[]', '{}', 'keep', false, now(), 'user', 'x', 'failed', now())
       ON CONFLICT (cluster_id, node_id, service_type) DO UPDATE SET reported_state = 'failed'`,
    ),
    'a repaired workload': ofNode(
      `UPDATE node_service_instances SET reported_state = 'running' WHERE ${MINE}`,
    ),
    'no workload': ofNode(`DELETE FROM node_service_instances WHERE ${MINE}`),
    'a policy of patience': {
      run: () => setPolicy({ heartbeatSeconds: BEAT, staleAfterMissed: 20, offlineAfterMissed: 100 }),
    },
    'a policy that denies': {
      run: () => setPolicy({ heartbeatSeconds: BEAT, capabilityPolicy: { denied: ['can_run_file_cache'] } }),
    },
    'a policy of versions': {
      run: () => setPolicy({ heartbeatSeconds: BEAT, agentVersionPolicy: { minimum: '1.0.0' } }),
    },
    'the usual policy': { run: () => setPolicy({ heartbeatSeconds: BEAT }) },
    'another sweep': { run: () => watch.sweep() },
  };

  /** What is written down and should be otherwise, by looking at everybody. */
  const wrong = () => {
    const { text, values } = sql`
      SELECT m.node_id, r.health AS written, ${HEALTH_EXPRESSION} AS actual
        FROM ${countedNodeTables(plane.app.get(NodeFacets), sql`true`)}
        LEFT JOIN node_health_records AS r ON r.cluster_id = m.cluster_id AND r.node_id = m.node_id
       WHERE m.membership_status <> 'revoked' AND l.last_seen_at IS NOT NULL AND r.health IS DISTINCT FROM ${HEALTH_EXPRESSION}`;
    return plane.database.query(text, values);
  };

  it.each<[string, [what: string, health: string][]]>([
    [
      'silence',
      [
        ['a little silence', 'online'],
        ['a silence', 'stale'],
        ['a policy of patience', 'online'],
        ['the usual policy', 'stale'],
        ['a long silence', 'offline'],
        ['a heartbeat', 'online'],
      ],
    ],
    [
      'risky states',
      [
        ['a risky state', 'degraded'],
        ['its acknowledgement', 'online'],
        ['a risky state', 'degraded'],
        ['the end of what is known of risky states', 'online'],
      ],
    ],
    [
      'versions of the agent',
      [
        ['a policy of versions', 'degraded'],
        ['a new version', 'online'],
        ['an old version', 'degraded'],
        ['the usual policy', 'online'],
      ],
    ],
    [
      'roles',
      [
        ['no capability', 'online'],
        ['a role', 'degraded'],
        ['a capability', 'online'],
        ['a policy that denies', 'degraded'],
        ['the usual policy', 'online'],
        ['no capability', 'degraded'],
        ['a role less', 'online'],
        ['a role', 'degraded'],
        ['a role that has ended', 'online'],
        ['a role', 'degraded'],
        ['no role', 'online'],
      ],
    ],
    [
      'keys',
      [
        ['a stop', 'online'],
        ['a key less', 'degraded'],
        ['its key again', 'online'],
        ['a key less', 'degraded'],
        ['a new key', 'online'],
        ['no new key', 'degraded'],
        ['going on', 'online'],
        ['its key again', 'online'],
      ],
    ],
    [
      'certificates',
      [
        ['no certificate', 'online'],
        ['a certificate', 'online'],
        ['a revoked certificate', 'degraded'],
        ['no certificate', 'online'],
        ['an expired certificate', 'degraded'],
        ['a certificate', 'online'],
      ],
    ],
    [
      'workloads',
      [
        ['a failed workload', 'degraded'],
        ['a repaired workload', 'online'],
        ['a failed workload', 'degraded'],
        ['no workload', 'online'],
      ],
    ],
  ])('follows each change: %s', async (_, changes) => {
    const story = [['a heartbeat', 'online'] as [string, string], ...changes];
    const node = await admittedNode(plane, clusterId);
    await setPolicy({ heartbeatSeconds: BEAT });
    await watch.sweep();
    const told: [string, string][] = [];
    for (const [what] of story) {
      await CHANGES[what]?.run(node);
      await watch.sweep();
      const [row] = await plane.database.query<{ health: string }>(
        `SELECT health FROM node_health_records WHERE ${MINE}`,
        [clusterId, node.nodeId],
      );
      told.push([what, row?.health ?? 'nothing']);
    }
    expect(told).toEqual(story);
    expect(await wrong()).toEqual([]);
  });

  it('is the health of every node, whatever happened since the last sweep', async () => {
    const change = fc.record({ what: fc.constantFrom(...Object.keys(CHANGES)), at: fc.nat(4) });
    const history = fc.array(fc.array(change, { maxLength: 4 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(history, async (sweeps) => {
        for (const changes of sweeps) {
          for (const { what, at } of changes) await CHANGES[what]?.run(nodes[at] as TestNode);
          await watch.sweep();
          expect(await wrong()).toEqual([]);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('follows a statement that concerns more nodes than are looked at one by one', async () => {
    const node = await admittedNode(plane, clusterId);
    await setPolicy({ heartbeatSeconds: BEAT });
    await CHANGES['a heartbeat']?.run(node);
    await CHANGES['no capability']?.run(node);
    await watch.sweep();
    await ofNode(
      `INSERT INTO node_role_assignments (id, cluster_id, node_id, role, organization_id, assigned_by_type, assigned_by_id)
       SELECT gen_random_uuid(), $1, $2, 'file-storage-cache', gen_random_uuid(), 'system', 'test' FROM generate_series(1, 1001)`,
    ).run(node);
    await watch.sweep();
    expect(
      await plane.database.query(`SELECT health FROM node_health_records WHERE ${MINE}`, [
        clusterId,
        node.nodeId,
      ]),
    ).toEqual([{ health: 'degraded' }]);
    expect(await plane.database.query('SELECT 1 FROM node_health_looks WHERE due_at <= now()')).toEqual([]);
    expect(await wrong()).toEqual([]);
  });

  it('is looked at again when a role or a certificate ends, also after its end has been put elsewhere', async () => {
    const node = await admittedNode(plane, clusterId);
    const asked = (table: string, end: string) =>
      plane.database.query(
        `SELECT 1 FROM ${table} AS t JOIN node_health_looks AS l ON l.node_id = t.node_id AND l.due_at = t.${end}
          WHERE t.cluster_id = $1 AND t.node_id = $2`,
        [clusterId, node.nodeId],
      );
    await role(`now() + interval '1 day'`).run(node);
    await certificate('now()', `now() + interval '1 day'`).run(node);
    expect(await asked('node_role_assignments', 'valid_until')).toHaveLength(1);
    expect(await asked('node_certificates', 'not_after')).toHaveLength(1);
    await ofNode(
      `UPDATE node_role_assignments SET valid_until = valid_until + interval '1 day' WHERE ${MINE}`,
    ).run(node);
    await ofNode(`UPDATE node_certificates SET not_after = not_after + interval '1 day' WHERE ${MINE}`).run(
      node,
    );
    expect(await asked('node_role_assignments', 'valid_until')).toHaveLength(1);
    expect(await asked('node_certificates', 'not_after')).toHaveLength(1);
  });

  it('follows time alone: silence, and the ends of certificates and roles', async () => {
    const { id } = await given(plane).cluster();
    const [certified, employed] = (await several(2, () => admittedNode(plane, clusterId))) as [
      TestNode,
      TestNode,
    ];
    const silent = await admittedNode(plane, id);
    const impatient = { heartbeatSeconds: 1, staleAfterMissed: 1, offlineAfterMissed: 3 };
    await plane.api.put(`/clusters/${id}/policy`, impatient);
    await setPolicy({ heartbeatSeconds: BEAT });
    await Promise.all([certified, employed].map(beat));
    await certificate(`now() - interval '1 hour'`, `now() + interval '2 seconds'`).run(certified);
    await role(`now() + interval '2 seconds'`).run(employed);
    await beat(silent);
    await watch.sweep();

    const becomes = (node: TestNode, health: string) =>
      until(
        async () => {
          await watch.sweep();
          return plane.database.query(`SELECT 1 FROM node_health_records WHERE ${MINE} AND health = $3`, [
            ...[node.clusterId, node.nodeId],
            health,
          ]);
        },
        ({ length }) => length === 1,
      );
    await becomes(certified, 'degraded');
    await becomes(employed, 'online');
    await becomes(silent, 'offline');
    await plane.api.put(`/clusters/${id}/policy`, { heartbeatSeconds: BEAT });
    await beat(silent);
    await becomes(silent, 'online');
    expect(await wrong()).toEqual([]);
  });
});

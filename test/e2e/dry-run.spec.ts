import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import canonical from 'canonicalize';
import { applyPatch } from 'rfc6902';
import { canBePlanned } from '../../src/common/openapi/described-route.js';
import { scanRoutes } from '../../src/common/openapi/scan-routes.js';
import { TxEvents } from '../../src/common/transaction/tx-events.js';
import { MembershipDisabled } from '../../src/modules/nodes/membership-events.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { ADMIN_MUTATIONS, type MutationCall, World } from '../support/mutations.js';
import { openSecondSession } from '../support/second-session.js';
import { tableDigests } from '../support/table-digests.js';
import { admittedNode } from '../support/test-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };

const canonicalize = canonical as unknown as (value: unknown) => string | undefined;

interface Change {
  clusterId: string;
  nodeId: string;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  patch: never[];
}

let controlPlane: ControlPlane;
let world: World;
/** Not the bootstrap token, each use of which is audited, also of a dry run. */
let owner: Api;
let auditor: Api;
beforeAll(async () => {
  // Without workers, which would write in the middle of a look at all rows.
  controlPlane = await startControlPlane({ config: { limits, role: 'api' } });
  world = new World(controlPlane);
  const { api } = controlPlane;
  owner = api.as(
    (await world.apiToken({ role: 'platform-owner', highRisk: true, expiresInSeconds: 3600 })).token,
  );
  auditor = api.as((await world.apiToken()).token);
});
afterAll(() => controlPlane?.close());

const planned = (path: string) => `${path}?dryRun=true`;

function plan({ method, path, body }: MutationCall, as = owner): Promise<Answer> {
  return as[method](planned(path), body);
}

function apply({ method, path, body }: MutationCall, planHash: string): Promise<Answer> {
  return owner[method](path, body, { 'x-plan-hash': planHash });
}

/** All but the log, which tells of refused high-risk attempts. */
function unlessLogged(digests: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(digests).filter(([table]) => !/^audit_events_/.test(table)));
}

const refusal = ({ status, body }: Answer) => ({ status, code: body.code });

it('is tried below for every call by which people and scripts change something', () => {
  const planned = scanRoutes(controlPlane.app).filter(canBePlanned);
  expect(Object.keys(ADMIN_MUTATIONS).sort()).toEqual(planned.map(({ operation }) => operation.id).sort());
});

describe.each(Object.entries(ADMIN_MUTATIONS))('a dry run of %s', (_, { prepare }) => {
  it('says what would be, leaves nothing behind, and can be applied as it was reviewed', async () => {
    const call = await prepare(world);
    const before = await tableDigests(controlPlane);
    const answer = await plan(call);
    expect({ status: answer.status, problem: answer.body.code }).toEqual({ status: 200, problem: undefined });
    expect(answer.body).toEqual({
      dryRun: true,
      result: answer.body.result,
      affectedNodes: expect.any(Number),
      changes: expect.any(Array),
      changesTruncated: false,
      planHash: expect.stringMatching(/^[\w-]{43}$/),
    });
    expect(answer.body.result).toBeDefined();
    expect(answer.body.changes).toHaveLength(answer.body.affectedNodes);
    for (const { before: old, after, patch } of answer.body.changes as Change[]) {
      const patched = structuredClone(old ?? {});
      expect(applyPatch(patched, patch)).toEqual(patch.map(() => null));
      expect(patched).toEqual(after ?? {});
    }
    const again = await plan(call);
    expect(again.body.planHash).toBe(answer.body.planHash);
    expect(await tableDigests(controlPlane)).toEqual(before);

    const stale = await apply(call, 'A'.repeat(43));
    expect(refusal(stale)).toEqual({ status: 409, code: 'plan_changed' });
    expect(stale.body.planHash).toBe(answer.body.planHash);
    expect(unlessLogged(await tableDigests(controlPlane))).toEqual(unlessLogged(before));

    const applied = await apply(call, answer.body.planHash);
    expect(String(applied.status)).toMatch(/^2/);
    expect(await tableDigests(controlPlane)).not.toEqual(before);
  });

  it('is refused as the call itself is', async () => {
    const call = await prepare(world);
    const forbidden = await auditor[call.method](call.path, call.body);
    expect(forbidden.status).toBe(403);
    expect(refusal(await plan(call, auditor))).toEqual(refusal(forbidden));
    const nonsense = { ...call, body: { ...(call.body as object), nonsense: true } };
    expect(refusal(await plan(nonsense))).toEqual({ status: 422, code: 'invalid_request' });
    expect(refusal(await owner[call.method](call.path, nonsense.body))).toEqual({
      status: 422,
      code: 'invalid_request',
    });
  });
});

describe('a dry run', () => {
  it('shows the change of a node as it then happens', async () => {
    const node = await admittedNode(controlPlane);
    const path = `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
    const snapshot = async () => (await owner.get(`${path}/snapshot`)).body;
    const old = await snapshot();
    const body = { nodeId: node.nodeId, role: 'vpn-exit', policy: { maxTunnels: 4 } };
    const answer = await owner.post(planned(`/clusters/${node.clusterId}/role-assignments`), body);
    const [change] = answer.body.changes as Change[];
    const { generation, issuedAt, expiresAt, ...content } = old;
    expect(change).toMatchObject({ clusterId: node.clusterId, nodeId: node.nodeId, before: content });
    expect((await snapshot()).generation).toBe(generation);
    created(await owner.post(`/clusters/${node.clusterId}/role-assignments`, body));
    const { generation: next, issuedAt: _at, expiresAt: _until, ...now } = await snapshot();
    expect(now).toEqual(change?.after);
    expect(next).toBe(generation + 1);
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.parse(issuedAt));
  });

  it('needs no step-up where the call does', async () => {
    const weak = controlPlane.api.as((await world.apiToken({ role: 'platform-owner' })).token);
    const { id } = await given(controlPlane).cluster();
    expect((await weak.put(`/clusters/${id}/policy`, {})).body.code).toBe('high_risk_credential_required');
    expect((await weak.put(planned(`/clusters/${id}/policy`), {})).status).toBe(200);
  });

  it('omits once-only secrets', async () => {
    const { id } = await given(controlPlane).cluster();
    for (const answer of [
      await owner.post(planned('/api-tokens'), { name: 'plan', role: 'auditor' }),
      await owner.post(planned(`/clusters/${id}/join-tokens`), {}),
    ]) {
      expect(answer.body.result).toHaveProperty('id');
      expect(answer.body.result).not.toHaveProperty('token');
      expect(JSON.stringify(answer.body)).not.toMatch(/f(ab|jt)_/);
    }
  });

  it('is refused by the state that refuses the call', async () => {
    const node = await admittedNode(controlPlane);
    const { slug } = await given(controlPlane).cluster();
    const archived = await given(controlPlane).cluster();
    await owner.delete(`/clusters/${archived.id}`);
    const assignments = `/clusters/${node.clusterId}/role-assignments`;
    await owner.post(assignments, { nodeId: node.nodeId, role: 'vpn-exit' });
    const calls: [MutationCall, number, string][] = [
      [{ method: 'post', path: '/clusters', body: { name: 'x', slug } }, 409, 'slug_taken'],
      [{ method: 'delete', path: `/clusters/${node.clusterId}` }, 409, 'cluster_not_empty'],
      [{ method: 'patch', path: `/clusters/${archived.id}`, body: { region: 'x' } }, 409, 'cluster_archived'],
      [
        { method: 'post', path: assignments, body: { nodeId: node.nodeId, role: 'vpn-exit' } },
        409,
        'role_already_assigned',
      ],
      [
        { method: 'post', path: assignments, body: { nodeId: node.nodeId, role: 'rdp-worker' } },
        409,
        'capability_missing',
      ],
      [{ method: 'patch', path: `/clusters/${archived.id}x`, body: {} }, 404, 'not_found'],
    ];
    for (const [call, status, code] of calls) {
      expect(refusal(await plan(call))).toEqual({ status, code });
      expect(refusal(await owner[call.method](call.path, call.body))).toEqual({ status, code });
    }
  });

  it('is refused by If-Match as the call is', async () => {
    const { id } = await given(controlPlane).cluster();
    const answer = await owner.patch(planned(`/clusters/${id}`), { region: 'x' }, { 'if-match': '"old"' });
    expect(refusal(answer)).toEqual({ status: 412, code: 'precondition_failed' });
  });

  it('that is false is the call itself', async () => {
    const { id } = await given(controlPlane).cluster();
    const answer = await owner.patch(`/clusters/${id}?dryRun=false`, { region: 'real' });
    expect(answer.body).toMatchObject({ id, region: 'real' });
  });

  it('shows the first hundred nodes and counts all', async () => {
    const { id } = await given(controlPlane).cluster();
    await controlPlane.database.query(
      `WITH made AS (INSERT INTO nodes (id) SELECT gen_random_uuid() FROM generate_series(1, 120) RETURNING id)
       INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch)
       SELECT $1, m.id, 'n' || row_number() OVER (), 'linux', 'x64' FROM made AS m`,
      [id],
    );
    const answer = await owner.put(planned(`/clusters/${id}/policy`), { degradedGraceSeconds: 17 });
    expect(answer.body).toMatchObject({ affectedNodes: 120, changesTruncated: true });
    const ids = (answer.body.changes as Change[]).map(({ nodeId }) => nodeId);
    expect(ids).toHaveLength(100);
    expect(ids).toEqual([...ids].sort());
    expect((answer.body.changes as Change[])[0]?.patch).toEqual([
      { op: 'replace', path: '/degradedGraceSeconds', value: 17 },
    ]);
  });

  it('is refused by constraints that wait for the commit, as the call is', async () => {
    const { id } = await given(controlPlane).cluster();
    await controlPlane.database.query(`
      CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'too late' USING ERRCODE = 'check_violation'; END $$`);
    await controlPlane.database.query(`
      CREATE CONSTRAINT TRIGGER late AFTER INSERT ON node_groups DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse_late()`);
    try {
      const call: MutationCall = {
        method: 'post',
        path: `/clusters/${id}/node-groups`,
        body: { name: 'late' },
      };
      const real = refusal(await owner.post(call.path, call.body));
      expect(real.status).toBeGreaterThanOrEqual(400);
      expect(refusal(await plan(call))).toEqual(real);
    } finally {
      await controlPlane.database.query('DROP TRIGGER late ON node_groups');
      await controlPlane.database.query('DROP FUNCTION refuse_late');
    }
  });

  it('steps aside sooner than the call: its statements and its waits for locks are shorter', async () => {
    const { id } = await given(controlPlane).cluster();
    await controlPlane.database.query(`
      CREATE FUNCTION tell_limits() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN NEW.name := current_setting('lock_timeout') || ' ' || current_setting('statement_timeout'); RETURN NEW; END $$`);
    await controlPlane.database.query(
      'CREATE TRIGGER tell BEFORE INSERT ON node_groups FOR EACH ROW EXECUTE FUNCTION tell_limits()',
    );
    try {
      const call: MutationCall = { method: 'post', path: `/clusters/${id}/node-groups`, body: { name: 'x' } };
      expect((await plan(call)).body.result.name).toBe('2s 10s');
      expect((await owner.post(call.path, call.body)).body.name).toBe('5s 20s');
    } finally {
      await controlPlane.database.query('DROP TRIGGER tell ON node_groups');
      await controlPlane.database.query('DROP FUNCTION tell_limits');
    }
  });

  it('that waits for a lock is given up, and leaves the one who holds it alone', async () => {
    const node = await admittedNode(controlPlane);
    const call: MutationCall = {
      method: 'post',
      path: `/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`,
    };
    const holder = await openSecondSession(controlPlane);
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT 1 FROM cluster_memberships WHERE node_id = $1 FOR UPDATE', [node.nodeId]);
      const answer = await plan(call);
      expect(refusal(answer)).toEqual({ status: 503, code: 'unavailable' });
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      await holder.query('COMMIT');
    } finally {
      await holder.end();
    }
    expect((await plan(call)).status).toBe(200);
  });

  it('is made two at a time', async () => {
    // In clusters of their own: within one, changes of the tree wait for each other.
    const clusters = await Promise.all(Array.from({ length: 8 }, () => given(controlPlane).cluster()));
    // Each says how many were at it together with itself.
    await controlPlane.database.query(`
      CREATE FUNCTION tell_crowd() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_advisory_xact_lock_shared(4711);
        PERFORM pg_sleep(0.05);
        NEW.name := (SELECT count(*) FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.objid = 4711) || ' ' || NEW.id;
        RETURN NEW;
      END $$`);
    await controlPlane.database.query(
      'CREATE TRIGGER crowd BEFORE INSERT ON node_groups FOR EACH ROW EXECUTE FUNCTION tell_crowd()',
    );
    try {
      const answers = await Promise.all(
        clusters.map(({ id }) =>
          plan({ method: 'post', path: `/clusters/${id}/node-groups`, body: { name: 'x' } }),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      const together = answers.map(({ body }) => Number.parseInt(body.result.name, 10));
      expect(together.filter((count) => count > 2)).toEqual([]);
    } finally {
      await controlPlane.database.query('DROP TRIGGER crowd ON node_groups');
      await controlPlane.database.query('DROP FUNCTION tell_crowd');
    }
  });

  it('tells the feed nothing, and does nothing that waits for a commit: no job, no wake-up', async () => {
    const node = await admittedNode(controlPlane);
    const path = `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
    let raised = 0;
    let committed = 0;
    // Everything outside the transaction hangs on this hook.
    controlPlane.app.get(TxEvents).on(MembershipDisabled, async (tx, { nodeId }) => {
      if (nodeId !== node.nodeId) return;
      raised += 1;
      tx.afterCommit(() => {
        committed += 1;
      });
    });
    const feed = () =>
      controlPlane.database.query<{ kind: string }>(
        'SELECT kind FROM change_feed WHERE cluster_id = $1 ORDER BY id',
        [node.clusterId],
      );
    const before = await feed();
    const call: MutationCall = { method: 'post', path: `${path}/disable` };
    const { planHash } = (await plan(call)).body;
    expect({ raised, committed }).toEqual({ raised: 1, committed: 0 });
    expect(await feed()).toEqual(before);
    expect((await apply(call, planHash)).status).toBe(200);
    expect({ raised, committed }).toEqual({ raised: 2, committed: 1 });
    const told = (await feed()).slice(before.length).map(({ kind }) => kind);
    expect(told.sort()).toEqual(['node.disabled', 'snapshot.changed']);
  });

  it('can be asked for by forty at once', async () => {
    const nodes = await Promise.all([admittedNode(controlPlane), admittedNode(controlPlane)]);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => {
        const { clusterId, nodeId } = nodes[index % 2] ?? nodes[0];
        return owner.patch(planned(`/clusters/${clusterId}/nodes/${nodeId}`), { name: unique('n') });
      }),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  });
});

describe('a plan hash', () => {
  it('is what the contract says, so that anybody can compute it from what a plan shows', async () => {
    const sha256 = (value: unknown) =>
      createHash('sha256')
        .update(canonicalize(value) ?? '')
        .digest('base64url');
    const { id } = await given(controlPlane).cluster();
    for (let count = 0; count < 3; count += 1) await admittedNode(controlPlane, id);
    const body = { degradedGraceSeconds: 99, capabilityPolicy: { denied: ['can_route_mesh'] } };
    const answer = await plan({ method: 'put', path: `/clusters/${id}/policy`, body });
    const nodes = (answer.body.changes as Change[]).map(
      ({ nodeId, before, after }): [string, string, string] => [nodeId, sha256(before), sha256(after)],
    );
    expect(nodes).toHaveLength(3);
    const call = { operationId: 'replaceClusterPolicy', path: `/api/v1/clusters/${id}/policy`, body };
    expect(answer.body.planHash).toBe(sha256({ ...call, nodes: nodes.sort() }));
  });

  it('no longer fits when the effect would be another', async () => {
    const node = await admittedNode(controlPlane);
    const call: MutationCall = {
      method: 'post',
      path: `/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`,
    };
    const { planHash } = (await plan(call)).body;
    created(
      await owner.post(`/clusters/${node.clusterId}/role-assignments`, {
        nodeId: node.nodeId,
        role: 'vpn-exit',
      }),
    );
    const refused = await apply(call, planHash);
    expect(refusal(refused)).toEqual({ status: 409, code: 'plan_changed' });
    expect((await owner.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).body.membershipStatus).toBe(
      'active',
    );
    expect((await apply(call, refused.body.planHash)).status).toBe(200);
  });

  it('still fits when something else has changed', async () => {
    const node = await admittedNode(controlPlane);
    const other = await admittedNode(controlPlane, node.clusterId);
    const call: MutationCall = {
      method: 'post',
      path: `/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`,
    };
    const { planHash } = (await plan(call)).body;
    await owner.post(`/clusters/${node.clusterId}/nodes/${other.nodeId}/disable`);
    expect((await apply(call, planHash)).status).toBe(200);
  });

  it('is that of the call: another body or path has another', async () => {
    const [one, two] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    const hashes = await Promise.all(
      [
        { path: `/clusters/${one.id}`, body: { region: 'a' } },
        { path: `/clusters/${one.id}`, body: { region: 'b' } },
        { path: `/clusters/${two.id}`, body: { region: 'a' } },
      ].map(async (call) => (await plan({ method: 'patch', ...call })).body.planHash),
    );
    expect(new Set(hashes).size).toBe(3);
  });
});

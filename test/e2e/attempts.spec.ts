import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { formatToken, newSecret } from '../../src/common/crypto/secrets.js';
import { newId } from '../../src/common/ids/uuid.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';

/** What is recorded of calls that change nothing. A cluster's policy stands for all that is high-risk. */

let controlPlane: ControlPlane;
let clusterId: string;
beforeAll(async () => {
  controlPlane = await startControlPlane();
  clusterId = (await given(controlPlane).cluster()).id;
});
afterAll(() => controlPlane?.close());

async function script(input: Record<string, unknown>): Promise<{ id: string; api: Api }> {
  const answer = await controlPlane.api.post('/api-tokens', { name: unique('token'), ...input });
  const { id, token } = created(answer) as { id: string; token: string };
  return { id, api: controlPlane.api.as(token) };
}

const admin = () => script({ role: 'platform-admin', highRisk: true, expiresInSeconds: 600 });

/** What the log says of one actor, oldest first. */
function eventsOf(actorId: string) {
  return controlPlane.database.query<Record<string, unknown>>(
    `SELECT action, outcome, reason, high_risk, cluster_id, resource_id, resource_name, request_id, "after"
       FROM audit_events WHERE actor_id = $1 ORDER BY occurred_at, id`,
    [actorId],
  );
}

describe('a high-risk attempt', () => {
  it('that is not permitted is recorded as denied', async () => {
    const auditor = await script({ role: 'auditor', highRisk: true, expiresInSeconds: 600 });
    const answer = await auditor.api.put(`/clusters/${clusterId}/policy`, { heartbeatSeconds: 5 });
    expect([answer.status, answer.body.permission]).toEqual([403, 'cluster_policies.update']);
    expect(await eventsOf(auditor.id)).toEqual([
      {
        action: 'operation.denied',
        outcome: 'denied',
        reason: 'forbidden: cluster_policies.update',
        high_risk: true,
        cluster_id: clusterId,
        resource_id: 'replaceClusterPolicy',
        resource_name: `PUT /api/v1/clusters/${clusterId}/policy`,
        request_id: answer.headers.get('x-request-id'),
        after: null,
      },
    ]);
  });

  it('with a credential that was not made for it is recorded as denied', async () => {
    const ordinary = await script({ role: 'platform-admin' });
    const answer = await ordinary.api.put(`/clusters/${clusterId}/policy`, { heartbeatSeconds: 5 });
    expect([answer.status, answer.body.code]).toEqual([403, 'high_risk_credential_required']);
    expect(await eventsOf(ordinary.id)).toMatchObject([
      { action: 'operation.denied', reason: 'high_risk_credential_required' },
    ]);
  });

  it.each<[string, unknown, Record<string, string>, number, string]>([
    ['is invalid', { heartbeatSeconds: 0 }, {}, 422, 'invalid_request'],
    ['is stale', { heartbeatSeconds: 5 }, { 'if-match': '"another"' }, 412, 'precondition_failed'],
    ['is not what was planned', { heartbeatSeconds: 5 }, { 'x-plan-hash': 'another' }, 409, 'plan_changed'],
  ])('that %s is recorded as failed', async (_, body, headers, status, code) => {
    const { id, api } = await admin();
    const answer = await api.put(`/clusters/${clusterId}/policy`, body, headers);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(await eventsOf(id)).toMatchObject([
      { action: 'operation.failed', outcome: 'failed', reason: code, high_risk: true, cluster_id: clusterId },
    ]);
  });

  it('on a cluster that its maker may not know is recorded there', async () => {
    const own = await given(controlPlane).cluster();
    const scoped = await script({
      role: 'platform-admin',
      clusterId: own.id,
      highRisk: true,
      expiresInSeconds: 600,
    });
    expect((await scoped.api.put(`/clusters/${clusterId}/policy`, {})).status).toBe(404);
    expect(await eventsOf(scoped.id)).toMatchObject([
      { action: 'operation.failed', reason: 'not_found', cluster_id: clusterId },
    ]);
  });

  it('that is a dry run leaves nothing behind and needs no credential of its own', async () => {
    const ordinary = await script({ role: 'platform-admin' });
    const path = `/clusters/${clusterId}/policy?dryRun=true`;
    expect((await ordinary.api.put(path, { heartbeatSeconds: 5 })).status).toBe(200);
    expect((await ordinary.api.put(path, { heartbeatSeconds: 0 })).status).toBe(422);
    const auditor = await script({ role: 'auditor' });
    expect((await auditor.api.put(path, { heartbeatSeconds: 5 })).status).toBe(403);
    expect([...(await eventsOf(ordinary.id)), ...(await eventsOf(auditor.id))]).toEqual([]);
  });

  it('is answered as it was even if the log cannot be written', async () => {
    const { id, api } = await admin();
    await controlPlane.database.query('REVOKE INSERT ON audit_events FROM fabric_app');
    try {
      const answer = await api.put(`/clusters/${clusterId}/policy`, { heartbeatSeconds: 0 });
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    } finally {
      await controlPlane.database.query('GRANT INSERT ON audit_events TO fabric_app');
    }
    expect(await eventsOf(id)).toEqual([]);
  });

  it('is no attempt without a known caller', async () => {
    expect((await controlPlane.api.as('nobody').put(`/clusters/${clusterId}/policy`, {})).status).toBe(401);
    const found = await controlPlane.database.query(
      `SELECT id FROM audit_events WHERE actor_type = 'anonymous'`,
    );
    expect(found).toEqual([]);
  });

  it('of little risk is not recorded when it fails', async () => {
    const { id, api } = await admin();
    expect((await api.patch(`/clusters/${clusterId}`, { name: '' })).status).toBe(422);
    expect(await eventsOf(id)).toEqual([]);
  });
});

describe('the bootstrap token', () => {
  let fresh: ControlPlane;
  beforeAll(async () => {
    fresh = await startControlPlane();
  });
  afterAll(() => fresh?.close());

  const recorded = () =>
    fresh.database.query(`SELECT action, coalesce("after"->>'operation', resource_id) AS what FROM audit_events
      WHERE actor_type = 'bootstrap' AND (action = 'bootstrap_token.used' OR action LIKE 'operation.%') ORDER BY occurred_at, id`);

  it('leaves one event a minute for what it reads, and one for each change', async () => {
    const { api } = fresh;
    for (let n = 0; n < 5; n += 1) await api.get('/me', { 'if-match': '"x"' });
    expect(await recorded()).toEqual([{ action: 'bootstrap_token.used', what: 'getMe' }]);
    await given(fresh).cluster();
    expect(await recorded()).toHaveLength(1);
    await api.post('/clusters?dryRun=true', { name: 'planned' });
    await api.delete(`/api-tokens/${newId()}`);
    const cluster = await given(fresh).cluster();
    await api.put(`/clusters/${cluster.id}/policy`, { heartbeatSeconds: 0 });
    expect((await recorded()).slice(1)).toEqual([
      { action: 'bootstrap_token.used', what: 'createCluster' },
      { action: 'bootstrap_token.used', what: 'revokeApiToken' },
      { action: 'operation.failed', what: 'replaceClusterPolicy' },
    ]);
  });

  it.each([
    ['an API token', formatToken('fab', newId(), newSecret())],
    ['a JWT', `${'a'.repeat(20)}.${'b'.repeat(20)}.${'c'.repeat(20)}`],
    ['a sentence', 'correct horse battery staple and some more (2026)'],
  ])('may look like %s', async (_, ownerToken) => {
    const beside = await startControlPlane({ beside: { ...fresh, ownerToken } });
    try {
      expect((await beside.api.get('/me')).body.bootstrap).toBe(true);
      expect((await beside.api.as(fresh.ownerToken).get('/me')).status).toBe(401);
    } finally {
      await beside.close();
    }
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { Applicant, countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';

let controlPlane: ControlPlane;
let api: Api;
let clusterId: string;
beforeAll(async () => {
  controlPlane = await startControlPlane();
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());
beforeEach(async () => {
  clusterId = (await given(controlPlane).cluster()).id;
});

const applicant = (name?: string) => new Applicant(controlPlane.url, name);
const joinToken = (input: Record<string, unknown> = {}) => given(controlPlane).joinToken(clusterId, input);

const requestOf = async (answer: Answer) =>
  (await api.get(`/clusters/${clusterId}/join-requests/${answer.body.joinRequestId}`)).body;

interface AuditRow {
  action: string;
  outcome: string;
  high_risk: boolean;
  actor_type: string;
  actor_id: string | null;
  actor_ip: string | null;
  after: Record<string, unknown> | null;
}

async function auditOf(...actions: string[]): Promise<AuditRow[]> {
  return controlPlane.database.query<AuditRow>(
    'SELECT * FROM audit_events WHERE cluster_id = $1 AND action = ANY($2) ORDER BY id',
    [clusterId, actions],
  );
}

describe('auto-approval', () => {
  const scope = { roles: ['vpn-exit', 'relay-node'], nodeNamePattern: 'edge-*' };

  it('admits at once with the roles of the scope that the node asks for, loud in the audit log', async () => {
    const { token } = await joinToken({ autoApprove: true, scope });
    const host = applicant('edge-1');
    const answer = await host.enroll(token, { body: { requestedRoles: ['vpn-exit'] } });
    expect(answer).toMatchObject({ status: 202, body: { status: 'approved' } });
    const { nodeId } = (await host.status(answer.body.joinRequestId)).body;
    const node = await api.get(`/clusters/${clusterId}/nodes/${nodeId}`);
    expect(node.body).toMatchObject({ name: 'edge-1', membershipStatus: 'active', roles: ['vpn-exit'] });
    const events = await auditOf('join_request.approved', 'role_assignment.created');
    expect(events).toMatchObject([
      {
        action: 'join_request.approved',
        high_risk: true,
        actor_type: 'system',
        actor_id: 'auto-approval',
        actor_ip: '127.0.0.1',
      },
      { action: 'role_assignment.created', actor_type: 'system' },
    ]);
    expect(events[0]?.after).toMatchObject({ automatic: true, roles: ['vpn-exit'], nodeId });
  });

  it('leaves to a reviewer what keeps a node from being admitted', async () => {
    const { token } = await joinToken({ autoApprove: true, maxUses: 2, scope });
    expect((await applicant('edge-2').enroll(token)).body.status).toBe('approved');
    const second = await applicant('edge-2').enroll(token);
    expect(second).toMatchObject({ status: 202, body: { status: 'pending' } });
    expect((await requestOf(second)).warnings).toEqual(
      expect.arrayContaining([expect.objectContaining({ code: 'name_taken' })]),
    );
  });

  it('leaves all to a reviewer where the maker of a token may not approve what is requested with it', async () => {
    await api.put(`/clusters/${clusterId}/policy`, { tokenMakerMayApprove: false });
    const { token } = await joinToken({ autoApprove: true, scope });
    expect((await applicant('edge-4').enroll(token)).body.status).toBe('pending');
  });

  it('leaves all to a reviewer while the cluster is not authoritative', async () => {
    const { token } = await joinToken({ autoApprove: true, scope });
    await controlPlane.database.query(
      `UPDATE cluster_authorities SET state = 'partitioned' WHERE cluster_id = $1`,
      [clusterId],
    );
    const answer = await applicant('edge-3').enroll(token);
    expect(answer).toMatchObject({ status: 202, body: { status: 'pending' } });
    const approval = await api.post(
      `/clusters/${clusterId}/join-requests/${answer.body.joinRequestId}/approve`,
    );
    expect(approval).toMatchObject({ status: 409, body: { code: 'cluster_not_authoritative' } });
  });

  it('gives each of many racing nodes its membership', async () => {
    const { token } = await joinToken({ autoApprove: true, maxUses: 10, scope });
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) => applicant(`edge-race-${index}`).enroll(token)),
    );
    expect(countByStatus(answers)).toEqual({ 202: 10, 401: 2 });
    const { items } = created(await api.get(`/clusters/${clusterId}/nodes`)) as { items: unknown[] };
    expect(items).toHaveLength(10);
  });
});

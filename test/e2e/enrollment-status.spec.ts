import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Api } from '../support/api.js';
import { Applicant } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given } from '../support/given.js';

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

describe('asking what became of a request', () => {
  it('tells status and, once approved, node and keys', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token)).body;
    expect(await host.status(joinRequestId)).toMatchObject({
      status: 200,
      body: { status: 'pending', clusterId },
    });
    const approved = await api.post(`/clusters/${clusterId}/join-requests/${joinRequestId}/approve`);
    const answer = await host.status(joinRequestId);
    const jwks = (await api.as(null).get(`/clusters/${clusterId}/trust/jwks`)).body;
    expect(answer.body).toEqual({
      status: 'approved',
      clusterId,
      nodeId: approved.body.approvedNodeId,
      jwks,
    });
    expect(jwks.keys).toHaveLength(1);
  });

  it('tells why it was rejected', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token)).body;
    await api.post(`/clusters/${clusterId}/join-requests/${joinRequestId}/reject`, {
      reason: 'Unknown host.',
    });
    expect((await host.status(joinRequestId)).body).toEqual({
      status: 'rejected',
      clusterId,
      rejectionReason: 'Unknown host.',
    });
  });

  it.each<[string, Record<string, unknown>]>([
    ['that was made for another request', { sub: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' }],
    ['for another audience', { aud: 'https://elsewhere.example' }],
    ['that lives too long', { exp: Math.floor(Date.now() / 1000) + 400 }],
    [
      'that has expired',
      { iat: Math.floor(Date.now() / 1000) - 300, exp: Math.floor(Date.now() / 1000) - 250 },
    ],
    ['without jti', { jti: undefined }],
  ])('is refused with a bearer %s', async (_, claims) => {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token)).body;
    const answer = await host.status(joinRequestId, claims);
    expect(answer).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated', serverTime: expect.any(String) },
    });
  });

  it('is refused for a bearer that was used before, on another instance too', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token)).body;
    const second = await startControlPlane({
      beside: controlPlane,
      config: { publicUrlAliases: [controlPlane.url] },
    });
    try {
      const path = `/node-agents/enroll/${joinRequestId}`;
      const bearer = await host.bearer(joinRequestId);
      expect((await api.as(bearer).get(path)).status).toBe(200);
      expect((await api.as(bearer).get(path)).status).toBe(401);
      expect((await second.api.as(bearer).get(path)).status).toBe(401);
    } finally {
      await second.close();
    }
  });

  it('is refused alike for an unknown id and for the key of another', async () => {
    const { token } = await joinToken({ maxUses: 2 });
    const [one, other] = [applicant(), applicant()];
    const { joinRequestId } = (await one.enroll(token)).body;
    await other.enroll(token);
    const foreign = await other.status(joinRequestId);
    const unknown = await other.status('019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21');
    const nonsense = await other.status('nonsense');
    for (const answer of [foreign, unknown, nonsense]) {
      expect(answer).toMatchObject({
        status: 401,
        body: { code: 'unauthenticated', detail: foreign.body.detail },
      });
    }
    expect((await api.as(null).get(`/node-agents/enroll/${joinRequestId}`)).status).toBe(401);
    expect((await api.get(`/node-agents/enroll/${joinRequestId}`)).status).toBe(401);
  });
});

describe('taking a request back', () => {
  it('cancels it, and again changes nothing', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token)).body;
    expect((await host.cancel(joinRequestId)).status).toBe(204);
    expect((await host.cancel(joinRequestId)).status).toBe(204);
    expect((await host.status(joinRequestId)).body.status).toBe('cancelled');
    const events = await controlPlane.database.query(
      `SELECT actor_type, actor_name FROM audit_events WHERE resource_id = $1 AND action = 'join_request.cancelled'`,
      [joinRequestId],
    );
    expect(events).toEqual([{ actor_type: 'anonymous', actor_name: host.nodeName }]);
    const late = await api.post(`/clusters/${clusterId}/join-requests/${joinRequestId}/approve`);
    expect(late).toMatchObject({ status: 409, body: { code: 'join_request_decided' } });
  });

  it('is too late once it is decided', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token)).body;
    await api.post(`/clusters/${clusterId}/join-requests/${joinRequestId}/approve`);
    expect(await host.cancel(joinRequestId)).toMatchObject({
      status: 409,
      body: { code: 'join_request_decided' },
    });
  });
});

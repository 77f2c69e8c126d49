import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { X509CertificateGenerator } from '@peculiar/x509';
import type { Api } from '../support/api.js';
import { Applicant } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given } from '../support/given.js';
import { OpenSsl, spoiled } from '../support/openssl.js';

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
      trustBundle: (await api.as(null).get(`/clusters/${clusterId}/trust/bundle`)).body,
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
    ['that lives too long', { exp: Math.floor(Date.now() / 1000) + 4_000 }],
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
    expect(answer.body.expectedAudience).toBe('aud' in claims ? controlPlane.url : undefined);
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

describe('a host that sends a CSR with its request', () => {
  let openssl: OpenSsl;
  beforeAll(async () => {
    openssl = await OpenSsl.open();
  });
  afterAll(() => openssl?.close());

  /** A host that is admitted, with its CSR. */
  async function admitted(csr: string) {
    const { token } = await joinToken();
    const host = applicant();
    const { joinRequestId } = (await host.enroll(token, { body: { csr } })).body;
    expect((await host.status(joinRequestId)).body).not.toHaveProperty('certificate');
    const answer = await api.post(`/clusters/${clusterId}/join-requests/${joinRequestId}/approve`);
    return { host, joinRequestId, nodeId: answer.body.approvedNodeId as string };
  }
  const issued = async () =>
    (await api.get(`/clusters/${clusterId}/trust/certificates`)).body.items as { serial: string }[];
  const nodePath = (nodeId: string) => `/clusters/${clusterId}/nodes/${nodeId}`;

  it('finds its certificate in the answer: one that openssl accepts, and the same each time', async () => {
    const extensions = ['subjectAltName=DNS:evil.example.com,URI:spiffe://other/node/1'];
    const { host, joinRequestId, nodeId } = await admitted(await openssl.csr({ extensions }));
    const { body } = await host.status(joinRequestId);
    expect(body.certificateChain).toBe('');
    expect(await openssl.verify(body.certificate, body.trustBundle)).toMatchObject({ ok: true });
    const x509 = new X509Certificate(body.certificate);
    expect(x509.subjectAltName).toBe(`URI:spiffe://${clusterId}/node/${nodeId}`);
    expect((await host.status(joinRequestId)).body).toEqual(body);
    expect((await issued()).map(({ serial }) => serial)).toEqual([x509.serialNumber]);
    const events = await api.get(`/audit/events?resourceId=${x509.serialNumber}`);
    expect(events.body.items).toMatchObject([
      { action: 'node_certificate.issued', actor: { type: 'node', id: nodeId } },
    ]);
  });

  it('gets one certificate, however many of its questions come at once', async () => {
    const { host, joinRequestId } = await admitted(await openssl.csr({ key: 'p256' }));
    const answers = await Promise.all(Array.from({ length: 6 }, () => host.status(joinRequestId)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ body }) => body.certificate)).size).toBe(1);
    expect(await issued()).toHaveLength(1);
  });

  it('gets none while no trust may be spread, and is told all the rest', async () => {
    const { host, joinRequestId, nodeId } = await admitted(await openssl.csr());
    const setState = (state: string) =>
      controlPlane.database.query('UPDATE cluster_authorities SET state = $2 WHERE cluster_id = $1', [
        clusterId,
        state,
      ]);
    await setState('partitioned');
    const without = (await host.status(joinRequestId)).body;
    expect(without).toMatchObject({ status: 'approved', nodeId, trustBundle: expect.any(String) });
    expect(without).not.toHaveProperty('certificate');
    await setState('authoritative');
    await api.post(`${nodePath(nodeId)}/disable`);
    expect((await host.status(joinRequestId)).body).not.toHaveProperty('certificate');
    await api.post(`${nodePath(nodeId)}/enable`);
    expect((await host.status(joinRequestId)).body).toHaveProperty('certificate');
  });

  it('gets none once its membership is revoked or its key was replaced, or it has expired', async () => {
    const one = await admitted(await openssl.csr());
    await api.post(`${nodePath(one.nodeId)}/revoke`, { reason: 'Stolen.' });
    expect((await one.host.status(one.joinRequestId)).body).not.toHaveProperty('certificate');
    const two = await admitted(await openssl.csr());
    await controlPlane.database.query(
      `UPDATE node_identities SET key_thumbprint = 'replaced', public_key = $2 WHERE node_id = $1`,
      [two.nodeId, applicant().publicKey],
    );
    expect((await two.host.status(two.joinRequestId)).body).not.toHaveProperty('certificate');
    expect(await issued()).toEqual([]);
    const three = await admitted(await openssl.csr());
    expect((await three.host.status(three.joinRequestId)).body).toHaveProperty('certificate');
    const over = await certificateOfThePast();
    await controlPlane.database.query('UPDATE node_join_requests SET certificate = $2 WHERE id = $1', [
      three.joinRequestId,
      over,
    ]);
    expect((await three.host.status(three.joinRequestId)).body).not.toHaveProperty('certificate');
  });

  it.each<[string, () => Promise<string>]>([
    ['over an RSA key', () => openssl.csr({ key: 'rsa' })],
    ['over a P-384 key', () => openssl.csr({ key: 'p384' })],
    ['that is not signed by its own key', async () => spoiled(await openssl.csr())],
    [
      'that holds no request',
      async () => '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
    ],
    ['of two blocks', async () => (await openssl.csr()) + (await openssl.csr())],
    ['that is too long', async () => `-----BEGIN CERTIFICATE REQUEST-----\n${'A'.repeat(8_200)}`],
  ])('is refused for one %s, before anything else is looked at', async (_, make) => {
    const { id, token } = await joinToken();
    const answer = await applicant().enroll(token, {
      body: { csr: await make() },
      claims: { aud: 'nobody' },
    });
    expect(answer.status).toBe(422);
    expect(answer.body.errors[0].pointer).toBe('#/csr');
    expect((await api.get(`/clusters/${clusterId}/join-tokens/${id}`)).body.usedCount).toBe(0);
  });

  it('is refused for one over its identity key', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const answer = await host.enroll(token, {
      body: { csr: await openssl.csr({ key: { pem: host.privatePem } }) },
    });
    expect(answer).toMatchObject({ status: 422, body: { code: 'csr_invalid' } });
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

/** A certificate, by whomever, that is over. */
async function certificateOfThePast(): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const [notBefore, notAfter] = [new Date('2020-01-01'), new Date('2020-01-02')];
  const made = await X509CertificateGenerator.createSelfSigned({
    keys,
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
  });
  return made.toString('pem');
}

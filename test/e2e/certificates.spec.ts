import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportPKCS8 } from 'jose';
import { MasterKeyring } from '../../src/common/crypto/envelope.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { OpenSsl, spoiled } from '../support/openssl.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let openssl: OpenSsl;
beforeAll(async () => {
  plane = await startControlPlane();
  openssl = await OpenSsl.open();
});
afterAll(async () => {
  await plane?.close();
  await openssl?.close();
});

const PATH = '/node-agents/me/certificates';
const csrHash = (csr: string) => createHash('sha256').update(csr).digest('base64url');

interface Issued {
  certificate: string;
  certificateChain: string;
  trustBundle: string;
  serial: string;
  notBefore: string;
  notAfter: string;
  renewAfter: string;
}

/** A member with a client of the API. */
async function member(clusterId?: string): Promise<{ node: TestNode; api: Api }> {
  const node = await admittedNode(plane, clusterId);
  return { node, api: await node.api() };
}

/** A certificate over a new key. */
async function certificateOf(api: Api): Promise<Issued> {
  return created(await api.post(PATH, { csr: await openssl.csr() })) as Issued;
}

const bundleOf = async (clusterId: string) =>
  (await plane.api.as(null).get(`/clusters/${clusterId}/trust/bundle`)).body as string;

async function crlOf(clusterId: string, query = ''): Promise<{ response: Response; der: Uint8Array }> {
  const response = await fetch(`${plane.url}/api/v1/clusters/${clusterId}/trust/crl${query}`);
  return { response, der: new Uint8Array(await response.arrayBuffer()) };
}

const refusal = ({ status, body }: Answer) => [status, body.code];
const setAuthority = (clusterId: string, state: string) =>
  plane.database.query('UPDATE cluster_authorities SET state = $2 WHERE cluster_id = $1', [clusterId, state]);

describe('a certificate', () => {
  it.each(['ed25519', 'p256'] as const)(
    'over a %s key is one that openssl accepts with the bundle',
    async (key) => {
      const { node, api } = await member();
      const answer = await api.post(PATH, { csr: await openssl.csr({ key }) });
      expect(answer.status).toBe(201);
      const issued = answer.body as Issued;
      expect(issued).toEqual({
        certificate: expect.stringMatching(
          /^-----BEGIN CERTIFICATE-----\n[\s\S]*\n-----END CERTIFICATE-----\n$/,
        ),
        certificateChain: '',
        trustBundle: await bundleOf(node.clusterId),
        serial: expect.stringMatching(/^[0-9A-F]{32}$/),
        notBefore: expect.any(String),
        notAfter: expect.any(String),
        renewAfter: expect.any(String),
      });
      expect(await openssl.verify(issued.certificate, issued.trustBundle)).toMatchObject({ ok: true });
      const { der } = await crlOf(node.clusterId);
      expect(await openssl.verifyWithCrl(issued.certificate, issued.trustBundle, der)).toMatchObject({
        ok: true,
      });
      const x509 = new X509Certificate(issued.certificate);
      expect([x509.serialNumber, x509.subjectAltName, x509.ca]).toEqual([
        issued.serial,
        `URI:spiffe://${node.clusterId}/node/${node.nodeId}`,
        false,
      ]);
      expect(new Date(x509.validFrom).toISOString()).toBe(issued.notBefore);
      expect(new Date(x509.validTo).toISOString()).toBe(issued.notAfter);
    },
  );

  it('lives a day, is back-dated by five minutes and is to be renewed from two thirds on', async () => {
    const { api } = await member();
    const { notBefore, notAfter, renewAfter } = await certificateOf(api);
    const [from, to, renew] = [notBefore, notAfter, renewAfter].map((at) => new Date(at).getTime() / 1000);
    const issuedAt = Number(from) + 300;
    expect(Number(to) - issuedAt).toBe(86_400);
    expect(Number(renew) - issuedAt).toBeGreaterThanOrEqual(57_600);
    expect(Number(renew) - issuedAt).toBeLessThan(66_241);
    const { body } = await api.get(`${PATH}/renewal`);
    expect(body).toMatchObject({ status: 'active', reason: 'scheduled' });
    expect(renewAfter >= body.suggestedWindow.start && renewAfter <= body.suggestedWindow.end).toBe(true);
  });

  it('is shorter-lived where the node asks for it, and never longer', async () => {
    const { api } = await member();
    const short = created(await api.post(PATH, { csr: await openssl.csr(), lifetimeSeconds: 600 })) as Issued;
    expect(new Date(short.notAfter).getTime() - new Date(short.notBefore).getTime()).toBe(900_000);
    const long = await api.post(PATH, { csr: await openssl.csr(), lifetimeSeconds: 86_401 });
    expect([...refusal(long), long.body.errors[0].pointer]).toEqual([
      422,
      'invalid_request',
      '#/lifetimeSeconds',
    ]);
  });

  it('takes nothing from its request but the key', async () => {
    const { node, api } = await member();
    const csr = await openssl.csr({
      subject: '/O=Evil/CN=admin',
      extensions: [
        'subjectAltName=DNS:evil.example.com,URI:spiffe://other/node/1,IP:10.0.0.1',
        'basicConstraints=critical,CA:TRUE',
        'keyUsage=critical,keyCertSign',
        'extendedKeyUsage=codeSigning',
      ],
    });
    const { certificate } = created(await api.post(PATH, { csr })) as Issued;
    const text = await openssl.show(certificate);
    expect(text).not.toMatch(/[Ee]vil|admin|spiffe:\/\/other|CA:TRUE|Certificate Sign|Code Signing/);
    expect(text).toMatch(/Subject: *\n/);
    expect(text).toMatch(
      /X509v3 Subject Alternative Name: critical\n *URI:spiffe:\/\/[0-9a-f-]{36}\/node\/[0-9a-f-]{36}\n/,
    );
    expect(new X509Certificate(certificate).subjectAltName).toBe(
      `URI:spiffe://${node.clusterId}/node/${node.nodeId}`,
    );
    expect(text).toMatch(/X509v3 Basic Constraints: critical\n *CA:FALSE/);
    expect(text).toMatch(/X509v3 Key Usage: critical\n *Digital Signature\n/);
  });

  it('of one cluster does not verify in another, whose root cannot even name it', async () => {
    const [one, other] = [await member(), await member()];
    const { certificate } = await certificateOf(one.api);
    expect(await openssl.verify(certificate, await bundleOf(other.node.clusterId))).toMatchObject({
      ok: false,
    });
    const root = await openssl.show(await bundleOf(other.node.clusterId));
    expect(root).toMatch(/Name Constraints: critical\n *Permitted:\n *URI:/);
    expect(root).toContain(`URI:${other.node.clusterId}`);
    expect(root).toMatch(/CA:TRUE, pathlen:0/);
  });

  it('is signed by a key that rests sealed, and opens for no other cluster', async () => {
    const [one, other] = [(await given(plane).cluster()).id, (await given(plane).cluster()).id];
    const [row] = await plane.database.query<{ sealed: Buffer; certificate: string }>(
      `SELECT sealed_private_key AS sealed, certificate FROM cluster_keys WHERE cluster_id = $1 AND purpose = 'ca'`,
      [one],
    );
    const keyring = plane.app.get(MasterKeyring);
    const sealed = row?.sealed ?? Buffer.alloc(0);
    const der = keyring.open(sealed, { purpose: 'ca', clusterId: one });
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    expect(new X509Certificate(row?.certificate ?? '').checkPrivateKey(key)).toBe(true);
    const secret = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url');
    expect(secret).toHaveLength(32);
    expect(sealed.includes(secret)).toBe(false);
    expect(() => keyring.open(sealed, { purpose: 'ca', clusterId: other })).toThrow();
  });

  it('is recorded with its node, listed, and told to the audit log', async () => {
    const { node, api } = await member();
    const [first, second] = [await certificateOf(api), await certificateOf(api)];
    const path = `/clusters/${node.clusterId}/trust/certificates`;
    const page = await plane.api.get(`${path}?nodeId=${node.nodeId}&status=active&limit=1`);
    expect(page.body.items).toEqual([
      expect.objectContaining({
        serial: second.serial,
        nodeId: node.nodeId,
        status: 'active',
        revokedAt: null,
      }),
    ]);
    const next = await plane.api.get(
      `${path}?nodeId=${node.nodeId}&status=active&limit=1&cursor=${page.body.nextCursor}`,
    );
    expect(next.body.items.map((item: Issued) => item.serial)).toEqual([first.serial]);
    const [identity] = await plane.database.query(
      'SELECT certificate_serial AS serial, certificate_not_after AS "notAfter" FROM node_identities WHERE node_id = $1',
      [node.nodeId],
    );
    expect(identity).toEqual({ serial: second.serial, notAfter: new Date(second.notAfter) });
    const audit = await plane.api.get(
      `/audit/events?action=node_certificate.issued&resourceId=${second.serial}`,
    );
    expect(audit.body.items).toEqual([
      expect.objectContaining({ actor: expect.objectContaining({ type: 'node', id: node.nodeId }) }),
    ]);
  });

  it('that has expired is a risky state and blocks nothing', async () => {
    const { node, api } = await member();
    await api.post('/node-agents/me/heartbeat', node.heartbeat());
    const risks = async () =>
      (await plane.api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).body as Record<
        string,
        unknown
      >;
    expect(await risks()).toMatchObject({ riskyStates: [], health: 'online' });
    await certificateOf(api);
    await plane.database.query(
      `UPDATE node_certificates SET not_before = now() - interval '2 days', not_after = now() - make_interval(secs => 0.001) WHERE node_id = $1`,
      [node.nodeId],
    );
    expect(await risks()).toMatchObject({ riskyStates: ['certificate_expired'], health: 'degraded' });
    expect((await api.get(`${PATH}/renewal`)).body.status).toBe('expired');
    await certificateOf(await node.api());
    expect(await risks()).toMatchObject({ riskyStates: [], health: 'online' });
  });
});

describe('a certificate request', () => {
  it.each<[string, () => Promise<string>]>([
    ['over an RSA key', () => openssl.csr({ key: 'rsa' })],
    ['over a P-384 key', () => openssl.csr({ key: 'p384' })],
    ['that is no PEM', async () => 'hello'],
    [
      'that is PEM of something else',
      async () => '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
    ],
    ['of two blocks', async () => (await openssl.csr()) + (await openssl.csr())],
    ['that is not signed by its own key', async () => spoiled(await openssl.csr({ key: 'p256' }))],
    ['with another key than the one that signed', async () => spoiled(await openssl.csr(), 60)],
  ])('%s is refused', async (_, make) => {
    const { api } = await member();
    const answer = await api.post(PATH, { csr: await make() });
    expect([...refusal(answer), answer.body.errors[0].pointer]).toEqual([422, 'csr_invalid', '#/csr']);
  });

  it('over the identity key of this or of another node is refused', async () => {
    const [one, other] = [await member(), await member()];
    const { privateKey } = one.node as unknown as { privateKey: Parameters<typeof exportPKCS8>[0] };
    const csr = await openssl.csr({ key: { pem: await exportPKCS8(privateKey) } });
    expect(refusal(await one.api.post(PATH, { csr }))).toEqual([422, 'csr_invalid']);
    expect(refusal(await other.api.post(PATH, { csr }))).toEqual([422, 'csr_invalid']);
  });

  it('over the key of another node is refused, also when both ask at once; the same node may repeat', async () => {
    const [one, other] = [await member(), await member()];
    const csr = await openssl.csr();
    const answers = await Promise.all([one.api.post(PATH, { csr }), other.api.post(PATH, { csr })]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 422]);
    const winner = answers[0]?.status === 201 ? one : other;
    expect((await winner.api.post(PATH, { csr })).status).toBe(201);
  });

  it('with an assertion by the identity key is taken, once', async () => {
    const { node, api } = await member();
    const csr = await openssl.csr();
    const assertion = await node.assertion(node.nodeId, { cluster: node.clusterId, csrHash: csrHash(csr) });
    const { serial } = created(await api.post(PATH, { csr, assertion })) as Issued;
    const audit = await plane.api.get(`/audit/events?resourceId=${serial}`);
    expect(audit.body.items[0].after.asserted).toBe(true);
    expect(refusal(await api.post(PATH, { csr, assertion }))).toEqual([401, 'proof_invalid']);
  });

  it.each<[string, (node: TestNode, csr: string) => Promise<string>]>([
    ['over another request', (node) => node.assertion(node.nodeId, { csrHash: csrHash('another') })],
    ['without csrHash', (node) => node.assertion(node.nodeId, { cluster: node.clusterId })],
    [
      'for another audience',
      (node, csr) => node.assertion(node.nodeId, { csrHash: csrHash(csr), aud: 'https://elsewhere.example' }),
    ],
    [
      'for another cluster',
      (node, csr) => node.assertion(node.nodeId, { csrHash: csrHash(csr), cluster: node.nodeId }),
    ],
    ['that lives too long', (node, csr) => node.assertion(node.nodeId, { csrHash: csrHash(csr) }, 301)],
    [
      'that is over',
      (node, csr) => node.assertion(node.nodeId, { csrHash: csrHash(csr), iat: 1_000, exp: 1_060 }),
    ],
    [
      'by another key',
      async (node, csr) => (await admittedNode(plane)).assertion(node.nodeId, { csrHash: csrHash(csr) }),
    ],
    ['that is no JWS', async () => 'x.y.z'],
  ])('with an assertion %s is refused', async (_, make) => {
    const { node, api } = await member();
    const csr = await openssl.csr();
    const answer = await api.post(PATH, { csr, assertion: await make(node, csr) });
    expect(refusal(answer)).toEqual([401, 'proof_invalid']);
    expect(answer.body).toMatchObject({ expectedAudience: plane.url, serverTime: expect.any(String) });
    const listed = await plane.api.get(
      `/clusters/${node.clusterId}/trust/certificates?nodeId=${node.nodeId}`,
    );
    expect(listed.body.items).toEqual([]);
  });

  it('of a disabled member is refused until it is enabled again', async () => {
    const { node, api } = await member();
    const path = `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
    await plane.api.post(`${path}/disable`);
    expect(refusal(await api.post(PATH, { csr: await openssl.csr() }))).toEqual([403, 'membership_disabled']);
    await plane.api.post(`${path}/enable`);
    expect((await api.post(PATH, { csr: await openssl.csr() })).status).toBe(201);
  });

  it('waits for authority; a renewal goes on while the cluster is degraded', async () => {
    const cluster = await given(plane).cluster();
    const [fresh, known] = [await member(cluster.id), await member(cluster.id)];
    await certificateOf(known.api);
    const ask = async ({ api }: { api: Api }) => refusal(await api.post(PATH, { csr: await openssl.csr() }));
    await setAuthority(cluster.id, 'degraded');
    expect(await ask(fresh)).toEqual([409, 'cluster_not_authoritative']);
    expect(await ask(known)).toEqual([201, undefined]);
    for (const state of ['partitioned', 'recovering', 'fenced']) {
      await setAuthority(cluster.id, state);
      expect(await ask(known)).toEqual([409, 'cluster_not_authoritative']);
    }
  });

  it('is for nodes alone', async () => {
    expect(refusal(await plane.api.post(PATH, { csr: await openssl.csr() }))).toEqual([403, 'forbidden']);
    expect((await plane.api.as(null).post(PATH, { csr: 'x' })).status).toBe(401);
  });
});

describe('the revocation list', () => {
  it('makes openssl reject the certificates of a revoked node, and no others', async () => {
    const cluster = await given(plane).cluster();
    const [gone, stays] = [await member(cluster.id), await member(cluster.id)];
    const [first, second, kept] = [
      await certificateOf(gone.api),
      await certificateOf(gone.api),
      await certificateOf(stays.api),
    ];
    const before = await crlOf(cluster.id);
    created(
      await plane.api.post(`/clusters/${cluster.id}/nodes/${gone.node.nodeId}/revoke`, { reason: 'Stolen.' }),
    );
    const after = await crlOf(cluster.id);
    for (const { certificate } of [first, second]) {
      expect(await openssl.verifyWithCrl(certificate, kept.trustBundle, before.der)).toMatchObject({
        ok: true,
      });
      const verdict = await openssl.verifyWithCrl(certificate, kept.trustBundle, after.der);
      expect(verdict).toEqual({ ok: false, text: expect.stringContaining('certificate revoked') });
    }
    expect(await openssl.verifyWithCrl(kept.certificate, kept.trustBundle, after.der)).toMatchObject({
      ok: true,
    });
    const listed = await plane.api.get(`/clusters/${cluster.id}/trust/certificates?status=revoked`);
    expect(listed.body.items.map((item: { serial: string }) => item.serial).sort()).toEqual(
      [first.serial, second.serial].sort(),
    );
    const audit = await plane.api.get(
      `/audit/events?action=node_certificate.revoked&clusterId=${cluster.id}`,
    );
    expect(audit.body.items[0].after).toEqual({
      serials: [first.serial, second.serial].sort(),
      revocationEpoch: 1,
    });
    expect((await gone.api.post(PATH, { csr: await openssl.csr() })).status).toBe(401);
  });

  it('carries the epoch as its number, and is the same bytes until that rises, on every instance', async () => {
    const cluster = await given(plane).cluster();
    const node = await admittedNode(plane, cluster.id);
    const other = await startControlPlane({ beside: plane });
    try {
      const [here, there] = [
        await crlOf(cluster.id),
        await fetch(`${other.url}/api/v1/clusters/${cluster.slug}/trust/crl`),
      ];
      expect(here.response.headers.get('content-type')).toBe('application/pkix-crl');
      expect(here.response.headers.get('cache-control')).toMatch(/^public, max-age=\d+$/);
      expect(there.headers.get('etag')).toBe(here.response.headers.get('etag'));
      expect(new Uint8Array(await there.arrayBuffer())).toEqual(here.der);
      const etag = here.response.headers.get('etag') ?? '';
      const unchanged = await plane.api
        .as(null)
        .get(`/clusters/${cluster.id}/trust/crl`, { 'if-none-match': etag });
      expect(unchanged.status).toBe(304);
      const number = async (der: Uint8Array) =>
        (
          await openssl.run('crl', '-inform', 'DER', '-in', await openssl.file(der), '-noout', '-crlnumber')
        ).text.trim();
      expect(await number(here.der)).toMatch(/^crlNumber=(0x)?0+$/);
      await plane.api.post(`/clusters/${cluster.id}/nodes/${node.nodeId}/revoke`, { reason: 'Gone.' });
      expect(await number((await crlOf(cluster.id)).der)).toMatch(/^crlNumber=(0x)?0*1$/);
    } finally {
      await other.close();
    }
  });

  it('of an unknown authority or cluster is 404, and an odd query 400', async () => {
    const cluster = await given(plane).cluster();
    expect((await crlOf(cluster.id, `?authority=${'A'.repeat(43)}`)).response.status).toBe(404);
    expect((await crlOf('nowhere')).response.status).toBe(404);
    expect((await crlOf(cluster.id, '?authority=x')).response.status).toBe(400);
  });
});

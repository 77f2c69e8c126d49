import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader } from 'jose';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { OpenSsl } from '../support/openssl.js';
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

const rotations = (clusterId: string) => `/clusters/${clusterId}/trust/rotations`;
const refusal = ({ status, body }: Answer) => [status, body.code];
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** A rotation that has begun, with how to take it on. */
async function rotation(clusterId: string, kind: 'ca' | 'snapshot_key') {
  const answer = await plane.api.post(rotations(clusterId), { kind });
  const { id, oldKid, newKid } = created(answer) as { id: string; oldKid: string; newKid: string };
  const path = `${rotations(clusterId)}/${id}`;
  const advance = (body?: object) => plane.api.post(`${path}/advance`, body);
  return { id, path, oldKid, newKid, answer, advance };
}

const bundleOf = async (clusterId: string) =>
  (await plane.api.get(`/clusters/${clusterId}/trust/bundle`)).body as string;

async function crlOf(clusterId: string, authority: string): Promise<Uint8Array> {
  const response = await fetch(`${plane.url}/api/v1/clusters/${clusterId}/trust/crl?authority=${authority}`);
  expect(response.status).toBe(200);
  return new Uint8Array(await response.arrayBuffer());
}

async function certificateOf(api: Api) {
  return created(await api.post('/node-agents/me/certificates', { csr: await openssl.csr() })) as {
    certificate: string;
    trustBundle: string;
    serial: string;
  };
}

const beat = async (node: TestNode, api: Api, more: object = {}) =>
  created(await api.post('/node-agents/me/heartbeat', node.heartbeat({ ...more }))) as {
    trustBundle: string;
    snapshotGeneration: number;
  };

const phases = async (clusterId: string, of: 'authorities' | 'snapshotKeys') =>
  ((await plane.api.get(`/clusters/${clusterId}/trust`)).body[of] as { kid: string; phase: string }[]).map(
    ({ kid, phase }) => [kid, phase],
  );

describe('the rotation of an authority', () => {
  it('goes through its phases with overlap, and waits for live nodes before it retires the old root', async () => {
    const cluster = await given(plane).cluster();
    const node = await admittedNode(plane, cluster.id);
    const api = await node.api();
    const oldBundle = await bundleOf(cluster.id);
    expect((await beat(node, api, { trustBundleSeen: sha256(oldBundle) })).trustBundle).toBe(
      sha256(oldBundle),
    );
    const byOld = await certificateOf(api);

    const { id, path, oldKid, newKid, answer, advance } = await rotation(cluster.id, 'ca');
    expect(answer.headers.get('location')).toBe(`/api/v1${path}`);
    expect(answer.body).toMatchObject({
      kind: 'ca',
      phase: 'prepare',
      nextPhase: 'activate',
      liveNodes: 1,
      waitingCount: 1,
    });
    expect(await phases(cluster.id, 'authorities')).toEqual([
      [oldKid, 'active'],
      [newKid, 'prepared'],
    ]);
    const bundle = await bundleOf(cluster.id);
    expect(bundle.startsWith(oldBundle)).toBe(true);
    expect(bundle.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    // Still by the old one, which the node trusts.
    expect(await openssl.verify((await certificateOf(api)).certificate, oldBundle)).toMatchObject({
      ok: true,
    });

    expect((await advance({ to: 'activate' })).body).toMatchObject({ phase: 'activate', nextPhase: 'taint' });
    const byNew = await certificateOf(api);
    expect(await openssl.verify(byNew.certificate, oldBundle)).toMatchObject({ ok: false });
    for (const [{ certificate }, kid] of [
      [byOld, oldKid],
      [byNew, newKid],
    ] as const) {
      expect(await openssl.verifyWithCrl(certificate, bundle, await crlOf(cluster.id, kid))).toMatchObject({
        ok: true,
      });
      expect(await openssl.show(certificate)).toContain(
        `URI:${plane.url}/api/v1/clusters/${cluster.id}/trust/crl?authority=${kid}`,
      );
    }

    expect((await advance({ to: 'taint' })).body.phase).toBe('taint');
    expect(await phases(cluster.id, 'authorities')).toEqual([
      [oldKid, 'tainted'],
      [newKid, 'active'],
    ]);
    const refused = await advance({ to: 'retire' });
    expect(refusal(refused)).toEqual([409, 'bundle_not_acknowledged']);
    const waiting = [{ nodeId: node.nodeId, name: node.name }];
    expect(refused.body).toMatchObject({ liveNodes: 1, acknowledged: 0, waiting });
    expect((await plane.api.get(path)).body).toMatchObject({
      phase: 'taint',
      waiting: [{ nodeId: node.nodeId, name: node.name, lastSeenAt: expect.any(String) }],
    });

    expect((await beat(node, api)).trustBundle).toBe(sha256(bundle));
    await beat(node, api, { trustBundleSeen: createHash('sha256').update(bundle).digest('base64url') });
    expect((await plane.api.get(path)).body).toMatchObject({ acknowledgedCount: 1, waiting: [] });
    expect((await advance({ to: 'retire' })).body).toMatchObject({
      phase: 'retire',
      nextPhase: null,
      overrideReason: null,
    });
    expect(await phases(cluster.id, 'authorities')).toEqual([
      [oldKid, 'retired'],
      [newKid, 'active'],
    ]);
    const after = await bundleOf(cluster.id);
    expect(await openssl.verify(byNew.certificate, after)).toMatchObject({ ok: true });
    expect(await openssl.verify(byOld.certificate, after)).toMatchObject({ ok: false });
    expect((await plane.api.get(`/clusters/${cluster.id}/trust/crl?authority=${oldKid}`)).status).toBe(404);
    expect(refusal(await advance())).toEqual([409, 'rotation_finished']);
    expect((await plane.api.get(rotations(cluster.id))).body.items).toEqual([
      expect.objectContaining({ id, phase: 'retire' }),
    ]);
  });

  it('goes over nodes that do not follow by name, and says so in the audit log', async () => {
    const node = await admittedNode(plane);
    const { id, advance } = await rotation(node.clusterId, 'ca');
    await advance();
    await advance();
    expect(refusal(await advance())).toEqual([409, 'bundle_not_acknowledged']);
    const body = { override: { reason: 'The old root is compromised.' } };
    expect((await advance(body)).body).toMatchObject({
      phase: 'retire',
      overrideReason: body.override.reason,
    });
    const { items } = (
      await plane.api.get(`/audit/events?resourceId=${id}&action=trust_rotation.advanced&outcome=success`)
    ).body;
    expect(items[0]).toMatchObject({
      highRisk: true,
      reason: body.override.reason,
      before: { kind: 'ca', phase: 'taint' },
      after: { phase: 'retire', notAcknowledged: 1, overridden: true },
    });
    expect(items).toHaveLength(3);
  });

  it('does not wait for nodes that are offline or revoked', async () => {
    const cluster = await given(plane).cluster();
    const [gone, silent] = [await admittedNode(plane, cluster.id), await admittedNode(plane, cluster.id)];
    created(await plane.api.post(`/clusters/${cluster.id}/nodes/${gone.nodeId}/revoke`, { reason: 'Gone.' }));
    await plane.database.query(
      `UPDATE cluster_memberships SET joined_at = now() - interval '1 hour' WHERE node_id = $1`,
      [silent.nodeId],
    );
    const { advance } = await rotation(cluster.id, 'ca');
    for (const to of ['activate', 'taint', 'retire']) expect((await advance({ to })).status).toBe(200);
  });

  it('tells nodes to replace what a tainted authority has issued', async () => {
    const node = await admittedNode(plane);
    const api = await node.api();
    await certificateOf(api);
    const renewal = async () => (await api.get('/node-agents/me/certificates/renewal')).body;
    expect(await renewal()).toMatchObject({ reason: 'scheduled' });
    const { advance } = await rotation(node.clusterId, 'ca');
    await advance();
    expect(await renewal()).toMatchObject({ reason: 'scheduled' });
    await advance();
    const { reason, suggestedWindow } = await renewal();
    expect([reason, new Date(suggestedWindow.end) <= new Date()]).toEqual(['authority_tainted', true]);
    await certificateOf(api);
    expect(await renewal()).toMatchObject({ reason: 'scheduled' });
  });

  it('revokes in the list of the authority that issued, also after the next one took over', async () => {
    const cluster = await given(plane).cluster();
    const node = await admittedNode(plane, cluster.id);
    const api = await node.api();
    const byOld = await certificateOf(api);
    const { oldKid, newKid, advance } = await rotation(cluster.id, 'ca');
    await advance();
    const byNew = await certificateOf(api);
    created(
      await plane.api.post(`/clusters/${cluster.id}/nodes/${node.nodeId}/revoke`, { reason: 'Stolen.' }),
    );
    const bundle = await bundleOf(cluster.id);
    for (const [{ certificate }, kid] of [
      [byOld, oldKid],
      [byNew, newKid],
    ] as const) {
      const verdict = await openssl.verifyWithCrl(certificate, bundle, await crlOf(cluster.id, kid));
      expect(verdict).toEqual({ ok: false, text: expect.stringContaining('certificate revoked') });
    }
  });
});

describe('the rotation of a snapshot key', () => {
  it('announces the new key in snapshots that the old one signs, and waits until nodes have applied one', async () => {
    const node = await admittedNode(plane);
    const api = await node.api();
    let etag = '';
    // Another one than the last: the answer is held until there is one.
    const nextSigner = async () => {
      const path = '/node-agents/me/snapshot?waitSeconds=20';
      const { body, headers } = await api.get(path, { 'if-none-match': etag });
      etag = headers.get('etag') ?? '';
      const { trust } = JSON.parse(Buffer.from(body.jws.split('.')[1], 'base64url').toString());
      return {
        kid: decodeProtectedHeader(body.jws).kid,
        announced: trust.snapshotKeys.map((key: { kid: string }) => key.kid),
        generation: body.generation as number,
      };
    };
    const published = async () =>
      (await plane.api.get(`/clusters/${node.clusterId}/trust/jwks`)).body.keys
        .map((key: { kid: string }) => key.kid)
        .sort();
    const before = await nextSigner();
    await beat(node, api, { appliedGeneration: before.generation });
    const { oldKid, newKid, advance, path } = await rotation(node.clusterId, 'snapshot_key');
    expect([before.kid, before.announced]).toEqual([oldKid, [oldKid]]);
    expect(await published()).toEqual([oldKid, newKid].sort());
    const announcing = await nextSigner();
    const { generation } = before;
    expect(announcing).toEqual({ kid: oldKid, announced: [oldKid, newKid], generation: generation + 1 });
    // Its own content may go on changing: the node still has to have applied an announcement.
    const rename = () =>
      plane.api.patch(`/clusters/${node.clusterId}/nodes/${node.nodeId}`, { name: unique('renamed') });
    created(await rename());
    await beat(node, api, { appliedGeneration: announcing.generation });
    expect((await plane.api.get(path)).body).toMatchObject({ acknowledgedCount: 0, waitingCount: 1 });
    expect((await advance({ to: 'activate' })).body).toMatchObject({ acknowledgedCount: 0, waitingCount: 1 });
    const after = await nextSigner();
    expect(after).toEqual({ kid: newKid, announced: [oldKid, newKid], generation: generation + 3 });
    await advance({ to: 'taint' });
    expect(refusal(await advance({ to: 'retire' }))).toEqual([409, 'bundle_not_acknowledged']);
    await beat(node, api, { appliedGeneration: after.generation });
    expect((await plane.api.get(path)).body).toMatchObject({ acknowledgedCount: 1, waitingCount: 0 });
    expect((await advance({ to: 'retire' })).status).toBe(200);
    expect(await published()).toEqual([newKid]);
    expect(await nextSigner()).toEqual({ kid: newKid, announced: [newKid], generation: generation + 4 });
    expect(await phases(node.clusterId, 'snapshotKeys')).toEqual([
      [oldKid, 'retired'],
      [newKid, 'active'],
    ]);
  });
});

describe('a rotation', () => {
  it('of a snapshot key is planned alike each time, although each makes another key', async () => {
    const node = await admittedNode(plane);
    const plan = () => plane.api.post(`${rotations(node.clusterId)}?dryRun=true`, { kind: 'snapshot_key' });
    const { planHash, affectedNodes, changes } = (await plan()).body;
    expect([affectedNodes, changes[0].patch]).toEqual([
      1,
      [{ op: 'add', path: '/trust/snapshotKeys/1', value: expect.objectContaining({ crv: 'Ed25519' }) }],
    ]);
    expect((await plan()).body.planHash).toBe(planHash);
    const applied = await plane.api.post(
      rotations(node.clusterId),
      { kind: 'snapshot_key' },
      { 'x-plan-hash': planHash },
    );
    expect(applied.status).toBe(201);
  });

  it('runs alone among its kind, also when two are started at once', async () => {
    const cluster = await given(plane).cluster();
    const start = (kind: string) => plane.api.post(rotations(cluster.id), { kind });
    const answers = await Promise.all([start('ca'), start('ca'), start('ca')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
    expect(refusal(await start('ca'))).toEqual([409, 'rotation_in_progress']);
    expect((await start('snapshot_key')).status).toBe(201);
    expect(await bundleOf(cluster.id)).toMatch(
      /^(-----BEGIN CERTIFICATE[^-]*-----[^-]*-----END CERTIFICATE-----\n){2}$/,
    );
  });

  it('advances once for two calls that want the same phase, and never past one', async () => {
    const cluster = await given(plane).cluster();
    const { path, advance } = await rotation(cluster.id, 'ca');
    const answers = await Promise.all([advance({ to: 'activate' }), advance({ to: 'activate' })]);
    expect(answers.map(({ status, body }) => [status, body.phase])).toEqual([
      [200, 'activate'],
      [200, 'activate'],
    ]);
    expect((await plane.api.get(path)).body.phase).toBe('activate');
    const early = await advance({ to: 'retire' });
    expect([...refusal(early), early.body.nextPhase]).toEqual([409, 'rotation_phase_conflict', 'taint']);
  });

  it('leaves nothing behind when it is only planned', async () => {
    const cluster = await given(plane).cluster();
    const before = await bundleOf(cluster.id);
    const plan = await plane.api.post(`${rotations(cluster.id)}?dryRun=true`, { kind: 'ca' });
    expect([plan.status, plan.body.dryRun, plan.body.result.phase]).toEqual([200, true, 'prepare']);
    expect(await bundleOf(cluster.id)).toBe(before);
    expect((await plane.api.get(rotations(cluster.id))).body.items).toEqual([]);
  });

  it('needs authority, its permission and a credential made for high-risk work', async () => {
    const cluster = await given(plane).cluster();
    const { advance, path } = await rotation(cluster.id, 'ca');
    const as = async (more: object) => {
      const body = { name: unique('token'), expiresInSeconds: 600, ...more };
      return plane.api.as((created(await plane.api.post('/api-tokens', body)) as { token: string }).token);
    };
    const reader = await as({ role: 'auditor', highRisk: true });
    expect((await reader.get(path)).status).toBe(200);
    expect(refusal(await reader.post(`${path}/advance`))).toEqual([403, 'forbidden']);
    const admin = await as({ role: 'platform-admin' });
    expect(refusal(await admin.post(`${path}/advance`))).toEqual([403, 'high_risk_credential_required']);
    const foreign = await as({
      role: 'platform-admin',
      highRisk: true,
      clusterId: (await given(plane).cluster()).id,
    });
    expect((await foreign.get(path)).status).toBe(404);
    await plane.database.query(`UPDATE cluster_authorities SET state = 'degraded' WHERE cluster_id = $1`, [
      cluster.id,
    ]);
    expect(refusal(await advance())).toEqual([409, 'cluster_not_authoritative']);
    expect(refusal(await plane.api.post(rotations(cluster.id), { kind: 'snapshot_key' }))).toEqual([
      409,
      'cluster_not_authoritative',
    ]);
  });

  it('of an unknown kind or id is refused', async () => {
    const cluster = await given(plane).cluster();
    const odd = await plane.api.post(rotations(cluster.id), { kind: 'password' });
    expect([...refusal(odd), odd.body.errors[0].pointer]).toEqual([422, 'invalid_request', '#/kind']);
    expect((await plane.api.post(`${rotations(cluster.id)}/${cluster.id}/advance`)).status).toBe(404);
    const { path } = await rotation(cluster.id, 'ca');
    const elsewhere = path.replace(cluster.id, (await given(plane).cluster()).id);
    expect((await plane.api.get(elsewhere)).status).toBe(404);
  });
});

import { X509Certificate } from 'node:crypto';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentEvent, AgentProcess } from '../support/agent-process.js';
import type { Answer } from '../support/api.js';
import { created, given } from '../support/given.js';
import { OpenSsl } from '../support/openssl.js';
import { until } from '../support/until.js';

/** Real processes on a busy machine, and certificates that have to live and to expire. */
const TIMEOUT_MS = 300_000;
/** The shortest that the service issues. */
const SHORT_LIVED = ['--certificate-lifetime', '10'];

let fleet: AgentFleet;
let openssl: OpenSsl;
beforeAll(async () => {
  fleet = await AgentFleet.open();
  openssl = await OpenSsl.open();
}, 300_000);
afterAll(async () => {
  await fleet?.close();
  await openssl?.close();
});

/** The files that count now, all of one version. */
async function tlsFiles(
  name: string,
): Promise<Record<'key' | 'certificate' | 'chain' | 'bundle' | 'crl', string>> {
  const folder = await realpath(join(fleet.host.directory(name), 'tls', 'current'));
  const read = (file: string) => readFile(join(folder, `${file}.pem`), 'utf8');
  const [key, certificate, chain, bundle, crl] = await Promise.all(
    ['key', 'certificate', 'chain', 'bundle', 'crl'].map(read),
  );
  return { key, certificate, chain, bundle, crl } as Awaited<ReturnType<typeof tlsFiles>>;
}

async function published(clusterId: string): Promise<{ bundle: string; crl: Uint8Array }> {
  const at = `${fleet.plane.url}/api/v1/clusters/${clusterId}/trust`;
  const [bundle, crl] = await Promise.all([fetch(`${at}/bundle`), fetch(`${at}/crl`)]);
  return { bundle: await bundle.text(), crl: new Uint8Array(await crl.arrayBuffer()) };
}

/** Resolves once every file is there. */
async function settled(agent: AgentProcess): Promise<void> {
  await agent.seen('certificate.issued');
  await agent.seen('revocations.applied', ({ epoch }) => epoch !== null);
}

/** A certificate that came after those of `known`. */
async function another(agent: AgentProcess, known: Set<unknown>): Promise<string> {
  const { serial } = await agent.seen('certificate.issued', (line) => !known.has(line.serial));
  known.add(serial);
  return String(serial);
}

const nodePath = (clusterId: string, nodeId: string) => `/clusters/${clusterId}/nodes/${nodeId}`;
const keysOf = async (name: string) =>
  (await readdir(join(fleet.host.directory(name), 'keys'))).map((file) => file.replace('.json', ''));
/** A running agent removes the key that was replaced after it has written down that it was. */
const keptAlone = async (name: string, key: string) =>
  expect(
    await until(
      () => keysOf(name),
      (kept) => kept.length === 1,
    ),
  ).toEqual([key]);
const activeKey = async (clusterId: string, nodeId: string) => {
  const { body } = await fleet.plane.api.get(`${nodePath(clusterId, nodeId)}/identity`);
  return body.keys.find((key: { status: string }) => key.status === 'active').thumbprint as string;
};

/** Revokes one key of the node. */
async function revokeKey(clusterId: string, nodeId: string, thumbprint: string): Promise<Answer> {
  const path = nodePath(clusterId, nodeId);
  const { keys } = (await fleet.plane.api.get(`${path}/identity`)).body;
  const { id } = keys.find((key: { thumbprint: string }) => key.thumbprint === thumbprint);
  return fleet.plane.api.post(`${path}/identities/${id}/revoke`, { reason: 'It leaked.' });
}

describe('the certificate of a real agent', () => {
  it(
    'is issued, renewed with a new key, expires while the service is away and is renewed when that is back',
    async () => {
      const cluster = await fleet.cluster();
      const nodeId = await fleet.admit('life', cluster.id);
      const agent = fleet.run('life', ...SHORT_LIVED);
      const { serial: enrolled } = await agent.seen(
        'certificate.issued',
        ({ reason }) => reason === 'enrolled',
      );
      const known = new Set<unknown>([enrolled]);

      await another(agent, known); // of the life that is asked for
      await agent.seen('revocations.applied', ({ epoch }) => epoch === 0);
      const files = await tlsFiles('life');
      const x509 = new X509Certificate(files.certificate);
      // It lives for seconds, and a busy machine may be at a later one: what openssl thinks is asked for its last one.
      const now = ['-attime', String(Math.floor(Date.parse(x509.validTo) / 1_000) - 1)];
      expect(x509.subjectAltName).toBe(`URI:spiffe://${cluster.id}/node/${nodeId}`);
      expect(x509.serialNumber).not.toBe(enrolled);
      await agent.seen('certificate.issued', ({ serial }) => serial === x509.serialNumber);
      const { bundle, crl } = await published(cluster.id);
      expect(files.bundle).toBe(bundle);
      expect(await openssl.verifyWithCrl(files.chain, bundle, crl, ...now)).toMatchObject({ ok: true });
      const ownList = ['-crl_check', '-CRLfile', await openssl.file(files.crl)];
      expect(await openssl.verify(files.certificate, files.bundle, ...ownList, ...now)).toMatchObject({
        ok: true,
      });
      const keyFile = await realpath(join(fleet.host.directory('life'), 'tls', 'current', 'key.pem'));
      expect((await stat(keyFile)).mode & 0o777).toBe(0o600);

      for (const { serial } of agent.all('certificate.issued')) known.add(serial);
      await another(agent, known);
      fleet.proxy.cut();
      // A busy machine may have seen some renewals by now, and late ones; what expires for good is the last one.
      const serialOf = async () => new X509Certificate((await tlsFiles('life')).certificate).serialNumber;
      const isLast = ({ serial }: AgentEvent) => serial === agent.all('certificate.issued').at(-1)?.serial;
      const { serial: expired } = await agent.seen('certificate.expired', isLast);
      expect(await serialOf()).toBe(expired);
      expect((await tlsFiles('life')).key).not.toBe(files.key);
      await fleet.until(nodePath(cluster.id, nodeId), ({ riskyStates }) =>
        riskyStates.includes('certificate_expired'),
      );
      for (const { serial } of agent.all('certificate.issued')) known.add(serial);
      fleet.proxy.mend();
      await another(agent, new Set(known));
      expect(known).not.toContain(await serialOf());
      await fleet.until(nodePath(cluster.id, nodeId), ({ riskyStates }) => riskyStates.length === 0);
      const path = `/audit/events?action=node_certificate.issued&actorId=${nodeId}&limit=200`;
      const issued = (await fleet.plane.api.get(path)).body.items as { after: { asserted: boolean } }[];
      // The first one came with the approval: the proof of the enrollment held for its CSR.
      const [atFirst, ...renewals] = issued.map(({ after }) => after.asserted).reverse();
      expect([atFirst, new Set(renewals)]).toEqual([false, new Set([true])]);
      expect(renewals.length).toBeGreaterThanOrEqual(3);
    },
    TIMEOUT_MS,
  );

  it('is asked for with no lifetime that the service would refuse', async () => {
    const agent = fleet.host.start('nowhere', 'run', '--certificate-lifetime', '9');
    expect((await agent.ended).code).toBe(2);
    expect(agent.output).toMatch(/--certificate-lifetime must be a whole number from 10 to 86400, not "9"/);
  });

  it(
    'waits while the cluster has no authority or the membership is disabled, and all else goes on',
    async () => {
      const cluster = await fleet.cluster();
      const nodeId = await fleet.admit('waits', cluster.id, { roles: [] });
      const path = nodePath(cluster.id, nodeId);
      const authority = (to: string) => {
        const move = { to, reason: 'A test.', expectedTerm: 1 };
        return fleet.plane.api.post(`/clusters/${cluster.id}/authority/transitions`, move);
      };
      created(await authority('partitioned'));
      const agent = fleet.run('waits');
      await agent.seen('certificate.refused', ({ code }) => code === 'cluster_not_authoritative');
      created(await fleet.plane.api.post(`${path}/disable`));
      created(await authority('authoritative'));
      await agent.seen('certificate.refused', ({ code }) => code === 'membership_disabled');
      const beats = agent.all('heartbeat.ok').length;
      await agent.seen('heartbeat.ok', ({ sequence }) => Number(sequence) > beats + 1);
      await agent.seen('snapshot.accepted');
      created(await fleet.plane.api.post(`${path}/enable`));
      await agent.seen('certificate.issued', ({ reason }) => reason === 'none');
      expect((await agent.end('SIGTERM')).code).toBe(0);
    },
    TIMEOUT_MS,
  );

  it(
    'follows the cluster to a new root, which is not retired before the agent holds it',
    async () => {
      const cluster = await fleet.cluster();
      const nodeId = await fleet.admit('roots', cluster.id);
      const agent = fleet.run('roots', '--certificate-key', 'ed25519');
      const { serial: enrolled } = await agent.seen(
        'certificate.issued',
        ({ reason }) => reason === 'enrolled',
      );
      const known = new Set<unknown>([enrolled]);
      await another(agent, known); // over the key that is asked for
      await agent.seen('heartbeat.ok', ({ sequence }) => Number(sequence) > 1);

      const rotations = `/clusters/${cluster.id}/trust/rotations`;
      const { id } = created(await fleet.plane.api.post(rotations, { kind: 'ca' })) as { id: string };
      await agent.seen('bundle.accepted', ({ roots }) => (roots as string[]).length === 2);
      await fleet.until(`${rotations}/${id}`, ({ waitingCount }) => waitingCount === 0);
      for (const to of ['activate', 'taint', 'retire'])
        created(await fleet.plane.api.post(`${rotations}/${id}/advance`, { to }));
      await agent.seen('bundle.accepted', ({ roots }) => (roots as string[]).length === 1);
      const serial = await another(agent, known);
      const files = await tlsFiles('roots');
      expect(new X509Certificate(files.certificate).serialNumber).toBe(serial);
      const { bundle, crl } = await published(cluster.id);
      expect(files.bundle).toBe(bundle);
      expect(await openssl.verifyWithCrl(files.certificate, bundle, crl)).toMatchObject({ ok: true });
      await fleet.until(nodePath(cluster.id, nodeId), ({ riskyStates }) => riskyStates.length === 0);
      await agent.end('SIGTERM');
    },
    TIMEOUT_MS,
  );
});

describe('the key of a real agent', () => {
  it(
    'is replaced while it runs and while it does not, and no restart looks like a clone',
    async () => {
      const cluster = await fleet.cluster();
      const nodeId = await fleet.admit('rotates', cluster.id);
      const agent = fleet.run('rotates');
      await agent.seen('certificate.issued');
      const old = await activeKey(cluster.id, nodeId);

      const online = fleet.host.start('rotates', 'rotate-key');
      expect((await online.ended).code).toBe(0);
      const next = await activeKey(cluster.id, nodeId);
      expect(next).not.toBe(old);
      await keptAlone('rotates', next);
      expect((await agent.end('SIGTERM')).code).toBe(0);

      const offline = fleet.host.start('rotates', 'rotate-key');
      expect((await offline.ended).code).toBe(0);
      const last = await activeKey(cluster.id, nodeId);
      expect(await keysOf('rotates')).toEqual([last]);
      expect([old, next]).not.toContain(last);

      const again = fleet.run('rotates');
      await again.seen('heartbeat.ok', ({ sequence }) => Number(sequence) > 1);
      const node = await fleet.plane.api.get(nodePath(cluster.id, nodeId));
      expect(node.body).toMatchObject({ riskyStates: [], health: 'online' });

      // The certificate was asked for with the first key; when that turns up elsewhere, both have to go.
      created(await revokeKey(cluster.id, nodeId, old));
      await again.seen('certificate.issued', ({ reason }) => reason === 'revoked');
      await fleet.until(nodePath(cluster.id, nodeId), ({ riskyStates }) => riskyStates.length === 0);
      const { bundle, crl } = await published(cluster.id);
      const { certificate } = await tlsFiles('rotates');
      expect(await openssl.verifyWithCrl(certificate, bundle, crl)).toMatchObject({ ok: true });
      expect((await again.end('SIGTERM')).code).toBe(0);
    },
    TIMEOUT_MS,
  );

  it(
    'ends the agent when it is revoked, which comes back as the same node with a new one',
    async () => {
      const cluster = await fleet.cluster();
      const nodeId = await fleet.admit('rekeyed', cluster.id);
      const agent = fleet.run('rekeyed');
      await agent.seen('certificate.issued');
      created(await revokeKey(cluster.id, nodeId, await activeKey(cluster.id, nodeId)));
      expect((await agent.ended).code).toBe(4);

      const override = { reason: 'Seen on the console of the host.' };
      expect(await fleet.admit('rekeyed', cluster.id, { existingNodeId: nodeId, override })).toBe(nodeId);
      const again = fleet.run('rekeyed');
      await again.seen('certificate.refused', ({ code }) => code === 'membership_disabled');
      created(await fleet.plane.api.post(`${nodePath(cluster.id, nodeId)}/enable`));
      await again.seen('certificate.issued');
      await fleet.until(nodePath(cluster.id, nodeId), ({ health }) => health === 'online');
      expect((await again.end('SIGTERM')).code).toBe(0);
    },
    TIMEOUT_MS,
  );

  it.each([
    ['before the request has reached the service', 'request_lost'],
    [
      'after the service has taken the new key, and starts again when the old one works no more',
      'answer_lost',
    ],
  ] as const)(
    'survives kill -9 in the middle of its replacement, %s',
    async (_, mishap) => {
      const cluster = await fleet.cluster();
      const name = `killed-${mishap}`;
      const nodeId = await fleet.admit(name, cluster.id);
      const agent = fleet.run(name);
      await agent.seen('certificate.issued');
      const old = await activeKey(cluster.id, nodeId);

      const lost = fleet.proxy.lose('/identity/rotate', mishap);
      const asked = fleet.host.start(name, 'rotate-key', '--timeout', '300');
      await lost;
      await agent.end('SIGKILL');
      await asked.end('SIGKILL');
      expect(await keysOf(name)).toHaveLength(2);
      const isKnown = (await activeKey(cluster.id, nodeId)) !== old;
      expect(isKnown).toBe(mishap === 'answer_lost');
      await fleet.plane.database.query(
        `UPDATE node_identities SET valid_until = now() - make_interval(secs => 0.001) WHERE node_id = $1 AND identity_status = 'rotated'`,
        [nodeId],
      );

      const again = fleet.run(name);
      await again.seen('key.rotated', ({ previousKeyThumbprint }) => previousKeyThumbprint === old);
      await again.seen('heartbeat.ok', ({ sequence }) => Number(sequence) > 1);
      const next = await activeKey(cluster.id, nodeId);
      await keptAlone(name, next);
      expect(next).not.toBe(old);
      const audit = await fleet.plane.api.get(
        `/audit/events?action=node_identity.rotated&resourceId=${nodeId}`,
      );
      expect(audit.body.items).toHaveLength(1);
      const { riskyStates } = (await fleet.plane.api.get(nodePath(cluster.id, nodeId))).body;
      expect(riskyStates).toEqual([]);
      await again.end('SIGTERM');
    },
    TIMEOUT_MS,
  );
});

describe('the membership of a real agent', () => {
  it(
    'ends with its certificate, and begins anew with a new token',
    async () => {
      const cluster = await fleet.cluster();
      const nodeId = await fleet.admit('ends', cluster.id);
      const witness = await fleet.admit('witness', cluster.id);
      const [agent, other] = [fleet.run('ends'), fleet.run('witness')];
      await Promise.all([settled(agent), settled(other)]);
      const files = await tlsFiles('ends');

      created(await fleet.plane.api.post(`${nodePath(cluster.id, nodeId)}/revoke`, { reason: 'Stolen.' }));
      expect((await agent.ended).code).toBe(4);
      expect((await fleet.run('ends').ended).code).toBe(4);
      const { bundle, crl } = await published(cluster.id);
      expect(await openssl.verifyWithCrl(files.certificate, bundle, crl)).toEqual({
        ok: false,
        text: expect.stringContaining('certificate revoked'),
      });

      await other.seen('revocations.applied', ({ epoch }) => epoch === 1);
      const applied = await fleet.until(
        `/clusters/${cluster.id}/trust/revocations/1`,
        ({ pendingCount }) => pendingCount === 0,
      );
      expect(applied.applied).toEqual([expect.objectContaining({ nodeId: witness })]);
      const ownList = ['-crl_check', '-CRLfile', await openssl.file((await tlsFiles('witness')).crl)];
      expect(await openssl.verify(files.certificate, bundle, ...ownList)).toMatchObject({ ok: false });

      const newNodeId = await fleet.admit('ends', cluster.id);
      expect(newNodeId).not.toBe(nodeId);
      const anew = fleet.run('ends');
      await settled(anew);
      const { certificate } = await tlsFiles('ends');
      expect(new X509Certificate(certificate).subjectAltName).toBe(
        `URI:spiffe://${cluster.id}/node/${newNodeId}`,
      );
      await Promise.all([anew.end('SIGTERM'), other.end('SIGTERM')]);
    },
    TIMEOUT_MS,
  );

  it(
    'in a second cluster is vouched for by the first one, and shares nothing with it',
    async () => {
      const [one, two] = [await fleet.cluster(), await fleet.cluster()];
      const nodeId = await fleet.admit('host-one', one.id);
      const first = fleet.run('host-one');
      await settled(first);
      const { joinRequestId, nodeFingerprint } = await fleet.apply('host-two', two.id);
      const request = ['--join-request', joinRequestId, '--key-thumbprint', nodeFingerprint];
      const proof = fleet.host.start('host-one', 'host-proof', ...request);
      expect((await proof.ended).code).toBe(0);
      const path = `/clusters/${two.id}/join-requests/${joinRequestId}/approve`;
      const approval = { existingNodeId: nodeId, hostProof: proof.output.trim() };
      expect(created(await fleet.plane.api.post(path, approval))).toMatchObject({ approvedNodeId: nodeId });
      const second = fleet.run('host-two');
      await settled(second);
      const [here, there] = [await tlsFiles('host-one'), await tlsFiles('host-two')];
      expect(await openssl.verify(here.certificate, there.bundle)).toMatchObject({ ok: false });
      expect(await openssl.verify(there.certificate, there.bundle)).toMatchObject({ ok: true });
      expect(await keysOf('host-one')).not.toEqual(await keysOf('host-two'));
      await Promise.all([first.end('SIGTERM'), second.end('SIGTERM')]);
    },
    TIMEOUT_MS,
  );

  it(
    'is not to be had by the token of another cluster, nor once the agent has taken its request back',
    async () => {
      const cluster = await fleet.cluster();
      const { id: other } = await fleet.cluster();
      const { token } = await given(fleet.plane).joinToken(other);
      const foreign = ['--url', fleet.proxy.url, '--token', token, '--cluster', cluster.id];
      expect((await fleet.host.start('cancels', 'enroll', ...foreign).ended).code).toBe(3);
      const { joinRequestId } = await fleet.apply('cancels', cluster.id);
      expect((await fleet.host.start('cancels', 'cancel').ended).code).toBe(0);
      const path = `/clusters/${cluster.id}/join-requests/${joinRequestId}`;
      expect((await fleet.plane.api.get(path)).body.status).toBe('cancelled');
      expect((await fleet.plane.api.post(`${path}/approve`)).status).toBe(409);
      const again = fleet.host.start('cancels', 'cancel');
      expect((await again.ended).code).toBe(1);
      expect(again.output).toContain('there is no open join request');
      expect((await fleet.run('cancels').ended).code).toBe(3);
    },
    TIMEOUT_MS,
  );
});

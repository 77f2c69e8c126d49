import { createHash, type KeyObject, randomBytes, randomUUID, sign } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { conflict } from '../../src/common/errors/domain-error.js';
import { TxEvents } from '../../src/common/transaction/tx-events.js';
import { ChannelMoving } from '../../src/modules/releases/release-events.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import {
  envelopeOf,
  MANIFEST_TYPE,
  manifestOf,
  migrationOf,
  Publisher,
  type ReleaseKey,
  releaseKey,
  signedBytes,
  type TestEnvelope,
  testFile,
} from '../support/publisher.js';

const limits = { principalPerMinute: 100_000 };

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  ({ api } = controlPlane);
});
afterAll(() => controlPlane?.close());

const refusal = ({ status, body }: Answer) => `${status} ${body.code}`;
const pointers = ({ body }: Answer) => body.errors?.map(({ pointer }: { pointer: string }) => pointer);

/** The point with the same x on the other side: whoever can sign by one can sign by the other. */
function mirrored({ y, ...rest }: Record<string, string>): Record<string, string> {
  const prime = BigInt('0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff');
  const other = prime - BigInt(`0x${Buffer.from(y ?? '', 'base64url').toString('hex')}`);
  return { ...rest, y: Buffer.from(other.toString(16).padStart(64, '0'), 'hex').toString('base64url') };
}

describe('publishing', () => {
  it('keeps the envelope byte for byte, and shows what was signed and by whom', async () => {
    const publisher = await Publisher.make(api, { threshold: 2, keys: 2 });
    const bundle = testFile();
    const manifest = manifestOf(publisher.product, '1.4.0', testFile(), {
      compatibility: { minAgentVersion: '1.0.0', fromVersions: '>=1.2.0' },
      migrations: [migrationOf(bundle)],
      provenance: { builder: 'https://ci.example.com' },
      notes: 'Zwölf Fehler weniger.',
    });
    // Neither the spaces of the payload nor those of the envelope are how anybody would write them again.
    const envelope = JSON.stringify(envelopeOf(JSON.stringify(manifest, null, 3), publisher.keys), null, 1);
    const answer = await api.post(`/products/${publisher.product}/releases`, envelope, {
      'content-type': 'application/vnd.dsse.envelope.v1+json',
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/v1${publisher.path('1.4.0')}`);
    expect(answer.body).toMatchObject({
      product: publisher.product,
      version: '1.4.0',
      status: 'published',
      manifest,
    });
    expect(answer.body.signatures.map(({ keyId }: { keyId: string }) => keyId).sort()).toEqual(
      publisher.keys.map(({ keyId }) => keyId).sort(),
    );
    const kept = await fetch(`${controlPlane.url}/api/v1${publisher.path('1.4.0', '/envelope')}`, {
      headers: { authorization: `Bearer ${controlPlane.ownerToken}` },
    });
    expect(kept.headers.get('content-type')).toBe('application/vnd.dsse.envelope.v1+json');
    expect(await kept.text()).toBe(envelope);
  });

  it('takes signatures of Ed25519, and of P-256 in either form, in base64 of either alphabet', async () => {
    const publisher = await Publisher.make(api, { keys: 2 });
    const [ed25519, p256] = publisher.keys;
    const file = testFile();
    const payload = (version: string) =>
      Buffer.from(JSON.stringify(manifestOf(publisher.product, version, file)));
    const raw = (bytes: Buffer) =>
      sign('sha256', signedBytes(bytes), { key: p256?.privateKey as KeyObject, dsaEncoding: 'ieee-p1363' });
    const joseForm = envelopeOf(payload('1.0.0'), []);
    joseForm.signatures = [{ keyid: p256?.keyId ?? '', sig: raw(payload('1.0.0')).toString('base64url') }];
    expect((await publisher.send(joseForm)).status).toBe(201);
    expect((await publisher.send(envelopeOf(payload('1.1.0'), [p256 as ReleaseKey]))).status).toBe(201);
    const urlSafe = envelopeOf(payload('1.2.0'), [ed25519 as ReleaseKey]);
    urlSafe.payload = payload('1.2.0').toString('base64url');
    expect((await publisher.send(urlSafe)).status).toBe(201);
  });

  it('lets one of ten racing publishers of a version win', async () => {
    const publisher = await Publisher.make(api);
    const sent = Array.from({ length: 10 }, () =>
      publisher.send(envelopeOf(manifestOf(publisher.product, '1.0.0'), publisher.keys)),
    );
    const answers = (await Promise.all(sent)).map(refusal).sort();
    expect(answers).toEqual(['201 undefined', ...Array(9).fill('409 version_exists')]);
  });

  it('refuses a version that differs from a published one in build metadata alone, whichever came first', async () => {
    const publisher = await Publisher.make(api);
    const send = (version: string) =>
      publisher.send(envelopeOf(manifestOf(publisher.product, version), publisher.keys));
    expect((await send('1.0.0-rc.1+build.7')).status).toBe(201);
    expect((await api.get(publisher.path('1.0.0-rc.1+build.7'))).body.version).toBe('1.0.0-rc.1+build.7');
    for (const version of ['1.0.0-rc.1', '1.0.0-rc.1+build.8', '1.0.0-rc.1+build.7'])
      expect([version, refusal(await send(version))]).toEqual([version, '409 version_exists']);
    expect((await send('1.0.0')).status).toBe(201);
    expect((await api.get(publisher.path('1.0.0-rc.1'))).status).toBe(404);
  });

  it('lists releases newest first, by status and by key, and pages', async () => {
    const publisher = await Publisher.make(api);
    for (const version of ['1.0.0', '1.1.0', '1.2.0']) await publisher.publish(version);
    created(await api.post(publisher.path('1.1.0', '/approve')));
    created(await api.post(publisher.path('1.2.0', '/block'), { reason: 'Broken.' }));
    const path = `/products/${publisher.product}/releases`;
    const versions = ({ body }: Answer) => body.items.map(({ version }: { version: string }) => version);
    const first = await api.get(`${path}?limit=2`);
    expect(versions(first)).toEqual(['1.2.0', '1.1.0']);
    expect(versions(await api.get(`${path}?limit=2&cursor=${first.body.nextCursor}`))).toEqual(['1.0.0']);
    expect(versions(await api.get(`${path}?status=approved`))).toEqual(['1.1.0']);
    expect(versions(await api.get(`${path}?status=blocked`))).toEqual(['1.2.0']);
    expect(versions(await api.get(`${path}?status=published`))).toEqual(['1.0.0']);
    const { signingKeyId } = (await api.get(publisher.path('1.0.0'))).body.signatures[0];
    expect(versions(await api.get(`${path}?signingKeyId=${signingKeyId}`))).toHaveLength(3);
    expect(versions(await api.get(`${path}?signingKeyId=${randomUUID()}`))).toEqual([]);
    expect((await api.get(`/products/${unique('none')}/releases`)).status).toBe(404);
  });
});

describe('a hostile envelope', () => {
  let publisher: Publisher;
  let own: ReleaseKey;
  beforeAll(async () => {
    publisher = await Publisher.make(api, { threshold: 2, keys: 2 });
    own = publisher.keys[0] as ReleaseKey;
  });
  const manifest = (more: Record<string, unknown> = {}) =>
    manifestOf(publisher.product, '2.0.0', testFile(), more);

  it.each<[string, () => TestEnvelope | string, string]>([
    [
      'by keys that nobody registered',
      () => envelopeOf(manifest(), [releaseKey(), releaseKey()]),
      '422 signature_invalid',
    ],
    [
      'by another key in the name of one that is registered',
      () => envelopeOf(manifest(), [{ ...releaseKey(), keyId: own.keyId }, own]),
      '422 signature_invalid',
    ],
    [
      'with fewer signatures than the product wants',
      () => envelopeOf(manifest(), [own]),
      '422 signature_threshold_not_met',
    ],
    [
      'with the signatures of one key under the ids of two',
      () => envelopeOf(manifest(), [own, { ...own, keyId: publisher.keys[1]?.keyId ?? '' }]),
      '422 signature_invalid',
    ],
    ['with one signature twice', () => envelopeOf(manifest(), [own, own]), '422 signature_threshold_not_met'],
    [
      'with the signature of a stranger beside one that counts',
      () => envelopeOf(manifest(), [own, releaseKey()]),
      '422 signature_threshold_not_met',
    ],
    [
      'whose payload type was swapped after it was signed',
      () => ({ ...envelopeOf(manifest(), publisher.keys, 'application/json'), payloadType: MANIFEST_TYPE }),
      '422 signature_invalid',
    ],
    [
      'signed as something else',
      () => envelopeOf(manifest(), publisher.keys, 'application/vnd.in-toto+json'),
      '422 invalid_request',
    ],
    [
      'whose payload was changed by one byte after it was signed',
      () => {
        const envelope = envelopeOf(manifest({ notes: 'A' }), publisher.keys);
        const changed = Buffer.from(envelope.payload, 'base64')
          .toString()
          .replace('"notes":"A"', '"notes":"B"');
        return { ...envelope, payload: Buffer.from(changed).toString('base64') };
      },
      '422 signature_invalid',
    ],
    [
      'with a name twice in the payload',
      () =>
        envelopeOf(
          JSON.stringify(manifest()).replace('"version":', '"version":"1.0.0","version":'),
          publisher.keys,
        ),
      '422 manifest_invalid',
    ],
    [
      'with a name twice in the payload, once escaped',
      () =>
        envelopeOf(
          JSON.stringify(manifest()).replace('"version":', '"versio\u006e":"1.0.0","version":'),
          publisher.keys,
        ),
      '422 manifest_invalid',
    ],
    [
      'with a name twice in itself',
      () => {
        const envelope = envelopeOf(manifest(), publisher.keys);
        return JSON.stringify(envelope).replace('{', `{"payload":"${envelope.payload}",`);
      },
      '400 duplicate_key',
    ],
    ['whose payload is no JSON', () => envelopeOf('{', publisher.keys), '422 manifest_invalid'],
    [
      'whose payload is no UTF-8',
      () => envelopeOf(Buffer.from([0xff]), publisher.keys),
      '422 manifest_invalid',
    ],
    [
      'with a member that DSSE does not have',
      () => JSON.stringify({ ...envelopeOf(manifest(), publisher.keys), extra: 1 }),
      '422 invalid_request',
    ],
    ['without a signature', () => envelopeOf(manifest(), []), '422 invalid_request'],
    [
      'for another product',
      () => envelopeOf(manifest({ product: 'another' }), publisher.keys),
      '422 manifest_invalid',
    ],
  ])('%s is refused, and leaves nothing', async (_, envelope, expected) => {
    expect(refusal(await publisher.send(envelope()))).toBe(expected);
    expect((await api.get(publisher.path('2.0.0'))).status).toBe(404);
  });

  const artifact = (change: Record<string, unknown>) => {
    const [first] = manifest().artifacts as Record<string, unknown>[];
    return { artifacts: [{ ...first, ...change }] };
  };
  it.each<[string, () => Record<string, unknown>, string]>([
    ...[
      '../evil.sh',
      '..',
      'a/../../b',
      '/etc/passwd',
      'a/b',
      'C:\\evil',
      'a\\b',
      '.hidden',
      'a..b',
      'con',
      'NUL.txt',
      'a\u0000b',
      'trailing.',
      ' a',
      '',
      '-rf',
      `a${'b'.repeat(200)}`,
    ].map((fileName): [string, () => Record<string, unknown>, string] => [
      `names the file ${JSON.stringify(fileName).slice(0, 40)}`,
      () => artifact({ fileName }),
      '#/artifacts/0/fileName',
    ]),
    ...[
      '1.0',
      'v1.0.0',
      '=1.0.0',
      ' 1.0.0',
      '1.0.0 ',
      '01.0.0',
      '1.0.0-01',
      '1.0.0+',
      '1.0.0+a..b',
      '1.0.0+a+b',
      '1.0.0-',
      '9007199254740993.0.0',
      '1.0.0-9007199254740993',
      '1.0.0+\u2024',
      '1.0.0\n',
      `1.0.0+${'a'.repeat(200)}`,
    ].map((version): [string, () => Record<string, unknown>, string] => [
      `has the version ${JSON.stringify(version).slice(0, 40)}`,
      () => ({ version }),
      '#/version',
    ]),
    ['claims 10 GB', () => artifact({ size: 10_000_000_000 }), '#/artifacts/0/size'],
    ['claims a size that no double holds', () => artifact({ size: 2 ** 60 }), '#/artifacts/0/size'],
    ['claims a negative size', () => artifact({ size: -1 }), '#/artifacts/0/size'],
    [
      'claims a bundle of 10 GB',
      () => ({ migrations: [migrationOf({ ...testFile(), size: 10_000_000_000 })] }),
      '#/migrations/0/bundle/size',
    ],
    ['has a digest in upper case', () => artifact({ sha256: 'A'.repeat(64) }), '#/artifacts/0/sha256'],
    [
      'has a media type with a line feed',
      () => artifact({ mediaType: 'a/b\r\nX: y' }),
      '#/artifacts/0/mediaType',
    ],
    ['is for a system that there is not', () => artifact({ os: 'plan9' }), '#/artifacts/0/os'],
    [
      'has two artifacts for a system',
      () => ({ artifacts: [...artifact({}).artifacts, ...artifact({}).artifacts] }),
      '#/artifacts/1',
    ],
    ['has no artifact', () => ({ artifacts: [] }), '#/artifacts'],
    ['has a member that nobody knows', () => ({ postInstall: 'curl | sh' }), '#/postInstall'],
    [
      'has such a member in an artifact',
      () => artifact({ url: 'https://evil.example' }),
      '#/artifacts/0/url',
    ],
    [
      'has a range that is none',
      () => ({ compatibility: { fromVersions: 'newer' } }),
      '#/compatibility/fromVersions',
    ],
    [
      'has two migrations of one id',
      () => ({ migrations: [migrationOf(testFile()), migrationOf(testFile())] }),
      '#/migrations/1/id',
    ],
    ['is of another schema', () => ({ schema: 'rap.release_manifest.v2' }), '#/schema'],
  ])('is refused whose manifest, well signed, %s', async (_, change, pointer) => {
    const answer = await publisher.send(envelopeOf(manifest(change()), publisher.keys));
    expect(refusal(answer)).toBe('422 manifest_invalid');
    expect(pointers(answer)).toContain(pointer);
  });
});

describe('signing keys', () => {
  it('count once: the same key again is refused, under another name, after its end, and as its mirror image', async () => {
    const key = releaseKey('p256');
    const register = (publicKey: Record<string, unknown>) =>
      api.post('/signing-keys', { name: unique('key'), publicKey });
    const { id } = created(await register(key.publicKey)) as { id: string };
    expect(refusal(await register(key.publicKey))).toBe('409 signing_key_exists');
    created(await api.post(`/signing-keys/${id}/revoke`, { reason: 'Lost.' }));
    expect(refusal(await register({ ...key.publicKey, use: 'sig' }))).toBe('409 signing_key_exists');
    expect(refusal(await register(mirrored(key.publicKey)))).toBe('409 signing_key_exists');
    expect(refusal(await register({ ...key.publicKey, d: 'AA' }))).toBe('422 invalid_request');
  });

  it('are told apart by Postgres too, whatever the service would write', async () => {
    const key = releaseKey();
    created(await api.post('/signing-keys', { name: 'one', publicKey: key.publicKey }));
    const x = String(key.publicKey.x);
    const insert = (columns: { keyId: string; x: string; material: Buffer }) =>
      controlPlane.database.query(
        `INSERT INTO signing_keys (id, name, key_id, curve, x, material, all_products, created_at)
         VALUES (gen_random_uuid(), 'two', $1, 'Ed25519', $2, $3, true, now())`,
        [columns.keyId, columns.x, columns.material],
      );
    const point = Buffer.from(x, 'base64url');
    const mirror = Buffer.from(point);
    mirror[31] = (mirror[31] ?? 0) ^ 0x80;
    const material = Buffer.from(point);
    material[31] = (material[31] ?? 0) & 0x7f;
    const thumbprint = (text: string) =>
      createHash('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${text}"}`).digest('base64url');
    const other = mirror.toString('base64url');
    // The last character has two bits that mean nothing: another spelling of the same point.
    const spelled = x.slice(0, -1) + String.fromCharCode(x.charCodeAt(42) + 1);
    await expect(insert({ keyId: thumbprint(other), x: other, material })).rejects.toThrow(
      'signing_keys_material_is_unique',
    );
    await expect(insert({ keyId: thumbprint(spelled), x: spelled, material })).rejects.toThrow(
      'signing_keys_canonical',
    );
    await expect(insert({ keyId: thumbprint(other), x, material })).rejects.toThrow('signing_keys_key_id');
    await expect(insert({ keyId: thumbprint(other), x: other, material: randomBytes(32) })).rejects.toThrow(
      'signing_keys_material',
    );
  });

  it('that are revoked, or are of another product, do not count; nor is what they signed approved', async () => {
    const publisher = await Publisher.make(api, { threshold: 2, keys: 2 });
    const stranger = await Publisher.make(api);
    const [one, two] = publisher.keys as [ReleaseKey, ReleaseKey];
    await publisher.publish('1.0.0');
    const keys = (await api.get(`/signing-keys?product=${publisher.product}`)).body.items;
    const { id } = keys.find(({ keyId }: { keyId: string }) => keyId === two.keyId);
    created(await api.post(`/signing-keys/${id}/revoke`));
    expect((await api.post(`/signing-keys/${id}/revoke`)).body.status).toBe('revoked');
    const send = (by: ReleaseKey[]) => publisher.send(envelopeOf(manifestOf(publisher.product, '1.1.0'), by));
    expect(refusal(await send([one, two]))).toBe('422 signature_threshold_not_met');
    expect(refusal(await send([one, stranger.keys[0] as ReleaseKey]))).toBe(
      '422 signature_threshold_not_met',
    );
    expect(refusal(await send([two]))).toBe('422 signature_invalid');
    expect(refusal(await api.post(publisher.path('1.0.0', '/approve')))).toBe(
      '422 signature_threshold_not_met',
    );
  });

  it('sign for the products that they are registered for, which must exist; without any for all', async () => {
    const publisher = await Publisher.make(api, { threshold: 2 });
    const key = releaseKey();
    const answer = await api.post('/signing-keys', {
      name: 'x',
      publicKey: key.publicKey,
      products: [publisher.product, 'absent'],
    });
    expect(refusal(answer)).toBe('422 invalid_request');
    expect(pointers(answer)).toEqual(['#/products/1']);
    expect(created(await api.post('/signing-keys', { name: 'x', publicKey: key.publicKey }))).toMatchObject({
      products: null,
    });
    const envelope = envelopeOf(manifestOf(publisher.product, '1.0.0'), [...publisher.keys, key]);
    expect((await publisher.send(envelope)).status).toBe(201);
  });
});

describe('a published release', () => {
  it('never changes in the database, whoever writes', async () => {
    const publisher = await Publisher.make(api, { keys: 2 });
    await publisher.release('1.0.0', { migrations: [migrationOf(testFile())] });
    const { id } = (await api.get(publisher.path('1.0.0'))).body;
    for (const [statement, constraint] of [
      [`UPDATE releases SET envelope = '\\x00' WHERE id = $1`, 'releases_never_change'],
      [`UPDATE releases SET manifest = manifest || '{"notes":"x"}' WHERE id = $1`, 'releases_never_change'],
      [
        `UPDATE releases SET approved_at = NULL, approved_by_type = NULL, approved_by_id = NULL WHERE id = $1`,
        'releases_never_change',
      ],
      [`DELETE FROM releases WHERE id = $1`, 'releases_stay'],
      [`UPDATE release_artifacts SET size_bytes = 1 WHERE release_id = $1`, 'release_artifacts_never_change'],
      [
        `UPDATE release_artifacts SET stored_sha256 = NULL, stored_at = NULL WHERE release_id = $1`,
        'release_artifacts_never_change',
      ],
      [`DELETE FROM release_artifacts WHERE release_id = $1`, 'release_artifacts_stay'],
      [
        `UPDATE release_migrations SET downgrade_possible = false WHERE release_id = $1`,
        'release_migrations_never_change',
      ],
      [`DELETE FROM release_signatures WHERE release_id = $1`, 'release_signatures_never_change'],
    ] as const) {
      const refused = await controlPlane.database.query(statement, [id]).then(
        () => 'done',
        ({ constraint: name }: { constraint?: string }) => name,
      );
      expect([statement, refused]).toEqual([statement, constraint]);
    }
    await expect(controlPlane.database.query('TRUNCATE releases CASCADE')).rejects.toThrow(
      'published releases stay',
    );
  });
});

describe('approval', () => {
  beforeEach(async () => {
    created(await api.put('/policy', {}));
  });

  it('is the whole story of one token where the policy allows it: publish, upload, approve, channel', async () => {
    const publisher = await Publisher.make(api);
    await publisher.release('1.0.0');
    const { body } = await api.get(publisher.path('1.0.0'));
    expect(body).toMatchObject({ status: 'approved', complete: true, approvedBy: { type: 'bootstrap' } });
    expect((await api.post(publisher.path('1.0.0', '/approve'))).body.approvedAt).toBe(body.approvedAt);
  });

  it('needs another than the publisher where the policy wants that', async () => {
    const publisher = await Publisher.make(api);
    await publisher.publish('1.0.0');
    created(await api.put('/policy', { releaseSelfApproval: false }));
    const approve = (as: Api) => as.post(publisher.path('1.0.0', '/approve'));
    expect(refusal(await approve(api))).toBe('403 publisher_may_not_approve');
    const token = { name: 'second', role: 'platform-operator', highRisk: true, expiresInSeconds: 600 };
    const second = created(await api.post('/api-tokens', token)) as { id: string; token: string };
    expect((await approve(api.as(second.token))).body.approvedBy).toEqual({
      type: 'api_token',
      id: second.id,
    });
    const denied = await api.get(`/audit/events?resourceId=approveRelease&outcome=denied`);
    expect(denied.body.items[0]).toMatchObject({
      action: 'operation.denied',
      reason: 'publisher_may_not_approve',
    });
  });

  it('is not given to what is blocked, and a block hides it until it is taken back', async () => {
    const publisher = await Publisher.make(api);
    await publisher.publish('1.0.0');
    const act = (what: string, body?: unknown) => api.post(publisher.path('1.0.0', `/${what}`), body);
    expect((await act('block', { reason: 'Loses data.' })).body.status).toBe('blocked');
    expect(refusal(await act('approve'))).toBe('409 release_blocked');
    expect((await act('block', { reason: 'Other.' })).body.blockReason).toBe('Loses data.');
    expect((await act('unblock')).body).toMatchObject({ status: 'published', blockReason: null });
    expect((await act('approve')).body.status).toBe('approved');
    expect((await act('block', { reason: 'Again.' })).body.status).toBe('blocked');
    expect((await act('unblock')).body.status).toBe('approved');
    const trail = await api.get(
      `/audit/events?resourceType=release&resourceId=${(await act('unblock')).body.id}`,
    );
    expect(trail.body.items.map(({ action }: { action: string }) => action)).toEqual([
      'release.unblocked',
      'release.blocked',
      'release.approved',
      'release.unblocked',
      'release.blocked',
      'release.published',
    ]);
  });
});

describe('channels', () => {
  const channel = (clusterId: string, { product }: Publisher, name: string) =>
    `/clusters/${clusterId}/channels/${product}/${name}`;

  it('point to approved, unblocked releases alone, by compare-and-set', async () => {
    const publisher = await Publisher.make(api);
    const { id } = await given(controlPlane).cluster();
    const path = channel(id, publisher, 'current');
    const before = await api.get(path);
    expect(before.body).toMatchObject({ version: null, revision: 0 });
    await publisher.publish('1.0.0');
    const put = (version: string, etag?: string | null) =>
      api.put(path, { version }, etag == null ? {} : { 'if-match': etag });
    expect(refusal(await put('1.0.0'))).toBe('409 release_not_approved');
    expect(refusal(await put('9.9.9'))).toBe('422 invalid_request');
    created(await api.post(publisher.path('1.0.0', '/approve')));
    const moved = await put('1.0.0', before.headers.get('etag'));
    expect(moved.body).toMatchObject({ version: '1.0.0', revision: 1 });
    expect(refusal(await put('1.0.0', before.headers.get('etag')))).toBe('412 precondition_failed');
    expect((await put('1.0.0')).body.revision).toBe(1);
    await publisher.release('2.0.0');
    created(await api.post(publisher.path('2.0.0', '/block'), { reason: 'Bad.' }));
    expect(refusal(await put('2.0.0'))).toBe('409 release_blocked');
    expect((await api.get(channel(id, publisher, 'nightly'))).status).toBe(404);
    const listed = await api.get(`/clusters/${id}/channels?product=${publisher.product}`);
    expect(
      listed.body.items.map((item: { channel: string; version: string }) => [item.channel, item.version]),
    ).toEqual([
      ['candidate', null],
      ['current', '1.0.0'],
      ['stable', null],
    ]);
  });

  it('let one of ten racing moves from the same revision win', async () => {
    const publisher = await Publisher.make(api);
    const { id } = await given(controlPlane).cluster();
    const path = channel(id, publisher, 'stable');
    const versions = ['1.0.0', '1.1.0', '1.2.0', '1.3.0'];
    for (const version of versions) await publisher.release(version);
    const etag = (await api.get(path)).headers.get('etag') ?? '';
    const answers = await Promise.all(
      versions.map((version) => api.put(path, { version }, { 'if-match': etag })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412]);
    expect((await api.get(path)).body.revision).toBe(1);
  });

  it('go back from a blocked version in every cluster, in its transaction: to the last good one, or nowhere', async () => {
    const publisher = await Publisher.make(api);
    for (const version of ['1.0.0', '1.1.0', '2.0.0']) await publisher.release(version);
    const [one, two] = [(await given(controlPlane).cluster()).id, (await given(controlPlane).cluster()).id];
    const put = async (cluster: string, name: string, version: string) =>
      created(await api.put(channel(cluster, publisher, name), { version }));
    for (const version of ['1.0.0', '1.1.0', '2.0.0']) await put(one, 'current', version);
    await put(one, 'candidate', '1.0.0');
    await put(one, 'candidate', '2.0.0');
    await put(one, 'stable', '1.0.0');
    await put(two, 'stable', '2.0.0');
    created(await api.post(publisher.path('1.1.0', '/block'), { reason: 'Leaks.' }));
    const requestId = `block-${unique('r')}`;
    created(
      await api.post(
        publisher.path('2.0.0', '/block'),
        { reason: 'Crashes.' },
        { 'x-request-id': requestId },
      ),
    );
    const version = async (cluster: string, name: string) =>
      (await api.get(channel(cluster, publisher, name))).body.version;
    expect(await version(one, 'current')).toBe('1.0.0');
    expect(await version(one, 'candidate')).toBeNull();
    expect(await version(one, 'stable')).toBe('1.0.0');
    expect(await version(two, 'stable')).toBeNull();
    const events = (await api.get(`/audit/events?requestId=${requestId}`)).body.items;
    expect(events.map(({ action }: { action: string }) => action).sort()).toEqual([
      'channel.moved',
      'channel.moved',
      'channel.moved',
      'release.blocked',
    ]);
    created(await api.post(publisher.path('2.0.0', '/unblock')));
    expect(await version(one, 'current')).toBe('1.0.0');
  });

  it('never end on a version that is being blocked while they are moved to it', async () => {
    const publisher = await Publisher.make(api);
    await publisher.release('1.0.0');
    const clusters = await Promise.all(Array.from({ length: 6 }, () => given(controlPlane).cluster()));
    const paths = clusters.map(({ id }) => channel(id, publisher, 'current'));
    const [block, ...moves] = await Promise.all([
      api.post(publisher.path('1.0.0', '/block'), { reason: 'Bad.' }),
      ...paths.map((path) => api.put(path, { version: '1.0.0' })),
    ]);
    expect(block.status).toBe(200);
    expect(moves.filter(({ status }) => status !== 200 && status !== 409)).toEqual([]);
    for (const path of paths) expect((await api.get(path)).body.version).toBeNull();
  });

  it('go back behind every version that is blocked at the same time', async () => {
    const publisher = await Publisher.make(api);
    const clusters = await Promise.all(Array.from({ length: 4 }, () => given(controlPlane).cluster()));
    const paths = clusters.map(({ id }) => channel(id, publisher, 'current'));
    const versions = ['1.0.0', '2.0.0', '3.0.0', '4.0.0'];
    for (const version of versions) {
      await publisher.release(version);
      for (const path of paths) created(await api.put(path, { version }));
    }
    const blocks = await Promise.all(
      versions.slice(1).map((version) => api.post(publisher.path(version, '/block'), { reason: 'Bad.' })),
    );
    expect(blocks.map(({ status }) => status)).toEqual([200, 200, 200]);
    for (const path of paths) expect((await api.get(path)).body.version).toBe('1.0.0');
  });

  it('are refused by who has conditions for them, in the same transaction', async () => {
    const publisher = await Publisher.make(api);
    await publisher.release('1.0.0');
    const { id } = await given(controlPlane).cluster();
    controlPlane.app.get(TxEvents).on(ChannelMoving, async (_, { clusterId, cause, to }) => {
      if (clusterId === id && cause === 'operator') throw conflict('conflict', `Not ${to?.version} yet.`);
    });
    expect((await api.put(channel(id, publisher, 'stable'), { version: '1.0.0' })).status).toBe(409);
    expect((await api.get(channel(id, publisher, 'stable'))).body.version).toBeNull();
  });
});

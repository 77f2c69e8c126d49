import { describe, expect, it } from '@jest/globals';
import { ReleaseRefused, type ToldRelease, verifyRelease } from '../../agent/updates/release-envelope.js';
import { parsePins } from '../../agent/updates/release-pins.js';
import {
  envelopeOf,
  MANIFEST_TYPE,
  manifestOf,
  migrationOf,
  type ReleaseKey,
  releaseKey,
  type TestEnvelope,
  testFile,
} from '../support/publisher.js';

const FILE = testFile();
const ADA = releaseKey();
const BEN = releaseKey('p256');
const STRANGER = releaseKey();
const MANIFEST = manifestOf('relay', '2.0.0', FILE);
const TOLD: ToldRelease = {
  product: 'relay',
  version: '2.0.0',
  os: 'linux',
  arch: 'x64',
  artifact: { sha256: FILE.sha256, size: FILE.size },
};

const pinned = (threshold: number, keys: readonly ReleaseKey[], maxBytes = 10_000) => {
  const pin = { threshold, keys: keys.map(({ publicKey }) => publicKey), maxBytes };
  const made = parsePins(JSON.stringify({ products: { relay: pin } })).get('relay');
  if (made === undefined) throw new Error('no pin');
  return made;
};
const BOTH = pinned(2, [ADA, BEN]);
const text = JSON.stringify(MANIFEST);
const signed = (content: Parameters<typeof envelopeOf>[0], type = MANIFEST_TYPE) =>
  envelopeOf(content, [ADA, BEN], type);
const [artifact] = MANIFEST.artifacts as Record<string, unknown>[];
const withArtifact = (change: Record<string, unknown>) =>
  signed({ ...MANIFEST, artifacts: [{ ...artifact, ...change }] });
const renamed = (envelope: TestEnvelope, ids: readonly string[]): TestEnvelope => ({
  ...envelope,
  signatures: ids.flatMap((keyid) => envelope.signatures.slice(0, 1).map((each) => ({ ...each, keyid }))),
});

describe('an agent', () => {
  it('takes a release that enough pinned keys have signed, whatever strangers add', () => {
    const envelope = envelopeOf(MANIFEST, [STRANGER, ADA, BEN]);
    expect(verifyRelease(envelope, BOTH, TOLD)).toMatchObject({
      manifest: { product: 'relay', version: '2.0.0', migrations: [] },
      artifact: { sha256: FILE.sha256, size: FILE.size, os: 'linux', arch: 'x64' },
    });
  });

  it('takes it with what else the manifest may say by then', () => {
    const more = { ...MANIFEST, migrations: [migrationOf(testFile())], notes: 'all new', later: [1] };
    expect(verifyRelease(signed(more), BOTH, TOLD).manifest.migrations).toMatchObject([{ id: 'state-2' }]);
  });

  it.each<[string, unknown, RegExp]>([
    ['keys that are not pinned', envelopeOf(MANIFEST, [STRANGER, releaseKey()]), /^0 of the keys pinned/],
    ['too few signatures', envelopeOf(MANIFEST, [ADA]), /^1 of the keys pinned here have signed, 2 must/],
    ['one key twice', envelopeOf(MANIFEST, [ADA, ADA]), /^1 of the keys/],
    [
      'one key under two ids',
      renamed(envelopeOf(MANIFEST, [ADA]), [ADA.keyId, 'the-other-id']),
      /^1 of the keys/,
    ],
    [
      "one key under another one's id",
      renamed(envelopeOf(MANIFEST, [ADA]), [ADA.keyId, BEN.keyId]),
      /is not by that key$/,
    ],
    ['another payload type', signed(MANIFEST, 'application/vnd.in-toto+json'), /which is no manifest$/],
    [
      'a swapped payload type',
      { ...signed(MANIFEST, 'application/vnd.in-toto+json'), payloadType: MANIFEST_TYPE },
      /is not by that key$/,
    ],
    [
      'a changed payload',
      { ...signed(MANIFEST), payload: Buffer.from(`${text} `).toString('base64') },
      /is not by that key$/,
    ],
    [
      'a name twice',
      signed(text.replace('"version":"2.0.0"', '"version":"1.0.0","version":"2.0.0"')),
      /has "version" twice$/,
    ],
    ['another version', signed({ ...MANIFEST, version: '2.0.1' }), /is of relay 2\.0\.1, not of relay 2/],
    [
      'build metadata of its own',
      signed({ ...MANIFEST, version: '2.0.0+evil' }),
      /is of relay 2\.0\.0\+evil/,
    ],
    ['a version that climbs', signed({ ...MANIFEST, version: '2/../../..' }), /its version is none$/],
    ['another product', signed({ ...MANIFEST, product: 'other' }), /is of other 2\.0\.0/],
    ['a product that climbs', signed({ ...MANIFEST, product: '../relay' }), /is no name of one$/],
    ['a file name that climbs', withArtifact({ fileName: '../../bin/sh' }), /its artifact 1 cannot be used$/],
    [
      'the digest of other bytes',
      withArtifact({ sha256: testFile().sha256 }),
      /not the one that the manifest/,
    ],
    ['another size', withArtifact({ size: FILE.size + 1 }), /not the one that the manifest/],
    ['a size below zero', withArtifact({ size: -1 }), /its artifact 1 cannot be used$/],
    ['no file for this host', withArtifact({ arch: 'arm64' }), /has no file for linux\/x64$/],
    [
      'two files for this host',
      signed({ ...MANIFEST, artifacts: [artifact, artifact] }),
      /two artifacts linux\/x64$/,
    ],
    [
      'migrations of 10 GB',
      signed({ ...MANIFEST, migrations: [migrationOf({ ...testFile(), size: 10 * 1024 ** 3 })] }),
      /more than the 10000 bytes/,
    ],
    ['another schema', signed({ ...MANIFEST, schema: 'rap.release_manifest.v2' }), /of another schema$/],
    ['no JSON', signed('{'), /it is not JSON$/],
    ['a payload that is no base64', { ...signed(MANIFEST), payload: 'no base64!' }, /cannot be read$/],
    ['no signatures', { ...signed(MANIFEST), signatures: [] }, /^0 of the keys/],
    ['no envelope', null, /^there is no envelope$/],
  ])('refuses %s', (_, envelope, reason) => {
    const attempt = () => verifyRelease(envelope, BOTH, TOLD);
    expect(attempt).toThrow(ReleaseRefused);
    expect(attempt).toThrow(reason);
  });

  it('refuses 10 GB before it asks for them', () => {
    const size = 10 * 1024 ** 3;
    const told = { ...TOLD, artifact: { ...TOLD.artifact, size } };
    expect(() => verifyRelease(withArtifact({ size }), BOTH, told)).toThrow(/more than the 10000 bytes/);
  });
});

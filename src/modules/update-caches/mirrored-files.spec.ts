import { describe, expect, it } from '@jest/globals';
import type { ServableFile } from '../releases/releases.read-model.js';
import { mirroredFiles, ranked } from './mirrored-files.js';

const file = (releaseId: string, sha256: string): ServableFile => ({
  ...{ releaseId, sha256, product: 'agent', version: releaseId, size: 1, os: 'linux', arch: 'x64' },
});
const digests = (files: readonly { sha256: string }[]) => files.map(({ sha256 }) => sha256);

describe('what caches mirror', () => {
  const ranks = ranked(
    ['rolled'],
    [
      { channel: 'candidate', releaseId: 'new' },
      { channel: 'current', releaseId: 'now' },
      { channel: 'stable', releaseId: 'old' },
      { channel: 'candidate', releaseId: 'rolled' },
      { channel: 'current', releaseId: null },
    ],
  );

  it('begins with what rollouts lead to, then stable, current and candidate', () => {
    const files = ['new', 'now', 'old', 'rolled'].map((id) => file(id, `of ${id}`));
    expect(digests(mirroredFiles(files, ranks))).toEqual(['of rolled', 'of old', 'of now', 'of new']);
    expect(digests(mirroredFiles([...files].reverse(), ranks))).toEqual(digests(mirroredFiles(files, ranks)));
  });

  it('holds the same content once, under the release that needs it soonest', () => {
    const [only, ...none] = mirroredFiles([file('new', 'same'), file('old', 'same')], ranks);
    expect([only?.version, none]).toEqual(['old', []]);
  });

  it('is bounded, and loses what is needed last', () => {
    const many = Array.from({ length: 600 }, (_, n) =>
      file(n < 300 ? 'new' : 'old', String(n).padStart(3, '0')),
    );
    const kept = mirroredFiles(many, ranks);
    expect(kept).toHaveLength(500);
    expect(kept.filter(({ version }) => version === 'old')).toHaveLength(300);
  });
});

import { mkdir, mkdtemp, readdir, readFile, readlink, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TrustFiles } from './trust-files.js';

let directory: string;
let files: TrustFiles;
const tls = (...names: string[]): string => join(directory, 'tls', ...names);
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'agent-tls-'));
  files = new TrustFiles(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('the files of trust', () => {
  it('are none at first, and then those that were written last, for their owner alone', async () => {
    expect(await files.read()).toEqual({});
    await files.write({ bundle: 'roots' });
    await files.write({ key: 'key', certificate: 'leaf', bundle: 'roots' });
    expect(await files.read()).toEqual({ key: 'key', certificate: 'leaf', bundle: 'roots' });
    expect((await stat(tls('current', 'key.pem'))).mode & 0o777).toBe(0o600);
    await files.write({ bundle: 'other roots' });
    expect(await files.read()).toEqual({ bundle: 'other roots' });
  });

  it('of the version before stay for whoever is reading them', async () => {
    await files.write({ key: 'one', certificate: 'one' });
    const reader = await realpath(tls('current'));
    await files.write({ key: 'two', certificate: 'two' });
    expect(await readFile(join(reader, 'certificate.pem'), 'utf8')).toBe('one');
    await files.write({ key: 'three', certificate: 'three' });
    expect((await readdir(tls())).sort()).toEqual(['current', 'v2', 'v3']);
  });

  it('fit together for a reader at any moment', async () => {
    const texts = (n: number) => ({ key: `${n}`, certificate: `${n}`, bundle: `${n}` });
    await files.write(texts(0));
    let isWriting = true;
    const writing = (async () => {
      for (let n = 1; n <= 20; n += 1) await files.write(texts(n));
      isWriting = false;
    })();
    let reads = 0;
    while (isWriting) {
      const { key, certificate, bundle } = await new TrustFiles(directory).read();
      // A reader that two versions have overtaken may find a part of one gone, whichever, and never parts of both.
      const found = [key, certificate, bundle].filter((text) => text !== undefined);
      expect(new Set(found).size).toBeLessThanOrEqual(1);
      reads += 1;
    }
    await writing;
    expect(reads).toBeGreaterThan(0);
  });

  it('that a crash left half-made never count, and are swept', async () => {
    await files.write({ key: 'one' });
    await files.write({ key: 'two' });
    await mkdir(tls('v3'));
    await writeFile(tls('v3', 'key.pem'), 'half');
    await writeFile(tls('.current.1.tmp'), '');
    expect(await files.read()).toEqual({ key: 'two' });
    await files.prepare();
    expect((await readdir(tls())).sort()).toEqual(['current', 'v1', 'v2']);
    await files.write({ key: 'three' });
    expect(await readlink(tls('current'))).toBe('v3');
  });
});

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Log } from '../log.js';
import { ArtifactDownloads } from '../updates/artifact-download.js';
import type { ArtifactSource } from '../updates/artifact-source.js';
import type { ContentId } from '../updates/release-manifest.js';
import { fitting, Mirror } from './mirror.js';

const quiet = new Log('error', () => undefined);
const NEVER = new AbortController().signal;
const content = (text: string) => Buffer.from(text);
const idOf = (bytes: Buffer): ContentId => ({
  sha256: createHash('sha256').update(bytes).digest('hex'),
  size: bytes.length,
});
const [A, B] = [content('one'), content('another')];
const [a, b] = [idOf(A), idOf(B)];

/** A control plane that has some files. */
class Source implements ArtifactSource {
  readonly name = 'control-plane';
  readonly asked: string[] = [];
  constructor(private readonly files: readonly Buffer[]) {}

  async read(...[file, from, take]: Parameters<ArtifactSource['read']>): Promise<void> {
    this.asked.push(file.sha256);
    const bytes = this.files.find((each) => idOf(each).sha256 === file.sha256);
    if (bytes === undefined) throw new Error('not there yet');
    await take(
      from,
      (async function* () {
        yield bytes.subarray(from);
      })(),
    );
  }
}

let folder: string;
let mirror: Mirror;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mirror-'));
  mirror = new Mirror(new ArtifactDownloads(folder, quiet), 10, quiet);
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const fill = (...files: Buffer[]) => mirror.fill(new Source(files), NEVER, async () => undefined);

describe('a mirror', () => {
  it('keeps what fits, what is needed soonest first', () => {
    const sized = [4, 7, 3, 3].map((size, index) => ({ sha256: `${index}`, size }));
    expect(fitting(sized, 10).map(({ sha256 }) => sha256)).toEqual(['0', '2', '3']);
    expect(fitting(sized, 2)).toEqual([]);
  });

  it('serves what is listed and was checked, and nothing else', async () => {
    mirror.list([a, b]);
    expect(mirror.find(a.sha256)).toBeNull();
    expect(await fill(A, B)).toBe(true);
    expect([mirror.held, mirror.usedBytes]).toEqual([[a.sha256, b.sha256].sort(), 10]);
    expect(await readFile(mirror.find(a.sha256)?.path ?? '')).toEqual(A);
    mirror.list([b]);
    expect([mirror.find(a.sha256), mirror.usedBytes]).toEqual([null, 7]);
    expect((await readdir(folder)).length).toBe(2);
    await fill(B);
    expect(await readdir(folder)).toEqual([b.sha256]);
  });

  it('looks again at what an agent before it left, and mends it', async () => {
    await writeFile(join(folder, a.sha256), 'one');
    await writeFile(join(folder, b.sha256), 'changed');
    await writeFile(join(folder, 'what a crash left.part'), 'x');
    mirror.list([a, b]);
    expect(mirror.find(a.sha256)).toBeNull();
    const source = new Source([B]);
    await mirror.fill(source, NEVER, async () => undefined);
    expect(source.asked).toEqual([b.sha256]);
    expect(await readFile(mirror.find(b.sha256)?.path ?? '')).toEqual(B);
    expect((await readdir(folder)).sort()).toEqual([a.sha256, b.sha256].sort());
  });

  it('gets the others when one is not there, and says that it is not done', async () => {
    mirror.list([a, b]);
    expect(await fill(B)).toBe(false);
    expect(mirror.held).toEqual([b.sha256]);
    await expect(fill()).rejects.toThrow('not there yet');
  });
});

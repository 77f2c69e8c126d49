import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Header } from 'tar';
import { formatOf, UnsafeArchive, unpack } from './unpack.js';

interface Entry {
  path: string;
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'FIFO';
  content?: string;
  /** What the header claims, in place of what there is. */
  size?: number;
  linkpath?: string;
  mode?: number;
}

let folder: string;
let target: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unpack-'));
  target = join(folder, 'target');
  await mkdir(target);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** An archive as nobody's tool would write it. */
function archive(entries: readonly Entry[]): Buffer {
  const blocks = entries.flatMap(({ path, type = 'File', content = '', size, linkpath, mode = 0o755 }) => {
    const header = Buffer.alloc(512);
    new Header({ path, type, mode, size: size ?? content.length, linkpath, uid: 0, gid: 0 }).encode(header);
    const data = Buffer.alloc(Math.ceil(content.length / 512) * 512);
    data.write(content);
    return [header, data];
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}
const unpacked = async (bytes: Buffer, maxBytes = 10_000): Promise<void> => {
  await writeFile(join(folder, 'archive'), bytes);
  await unpack(join(folder, 'archive'), target, maxBytes);
};

describe('an archive', () => {
  it('is unpacked with its programs, for this user alone', async () => {
    await unpacked(
      archive([
        { path: './', type: 'Directory' },
        { path: './bin/', type: 'Directory' },
        { path: './bin/service', content: '#!/bin/sh\n', mode: 0o6755 },
        { path: 'lib/data', content: 'data', mode: 0o666 },
      ]),
    );
    expect(await readFile(join(target, 'lib', 'data'), 'utf8')).toBe('data');
    expect((await stat(join(target, 'bin', 'service'))).mode & 0o7777).toBe(0o700);
    expect((await stat(join(target, 'lib', 'data'))).mode & 0o7777).toBe(0o600);
  });

  it.each<[string, readonly Entry[], RegExp]>([
    ['climbs', [{ path: '../evil', content: 'x' }], /no plain relative name/],
    ['climbs from within', [{ path: 'a/../../evil', content: 'x' }], /no plain relative name/],
    ['is absolute', [{ path: '/tmp/evil', content: 'x' }], /no plain relative name/],
    ['speaks of Windows', [{ path: 'a\\..\\evil', content: 'x' }], /no plain relative name/],
    ['links', [{ path: 'a', type: 'SymbolicLink', linkpath: '/etc' }], /a SymbolicLink/],
    ['links hard', [{ path: 'a', type: 'Link', linkpath: '/etc/passwd' }], /a Link/],
    ['is a device', [{ path: 'a', type: 'CharacterDevice' }], /a CharacterDevice/],
    ['is a pipe', [{ path: 'a', type: 'FIFO' }], /a FIFO/],
    [
      'has a name twice',
      [
        { path: 'a', content: 'x' },
        { path: './a', content: 'y' },
      ],
      /twice/,
    ],
    ['is too large', [{ path: 'a', content: 'x'.repeat(10_001) }], /more than 10000 bytes/],
    [
      'claims 10 GB',
      [
        { path: 'a', size: 8 * 1024 ** 3 - 1 },
        { path: 'b', size: 8 * 1024 ** 3 - 1 },
      ],
      /more than 10000 bytes/,
    ],
    ['breaks off', [{ path: 'a', content: 'x', size: 9_000 }], /cannot be read/],
    ['is missing', [], /cannot be read/],
  ])('is refused, and nothing of it is written, where an entry %s', async (_, entries, reason) => {
    const good: Entry[] = entries.length === 0 ? [] : [{ path: 'good', content: 'good' }];
    const attempt = unpacked(archive([...good, ...entries]));
    await expect(attempt).rejects.toThrow(reason);
    await expect(attempt).rejects.toBeInstanceOf(UnsafeArchive);
    expect(await readdir(target)).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual(['archive', 'target']);
  });

  it('is refused when it is none', async () => {
    await expect(unpacked(Buffer.from('no archive at all'))).rejects.toBeInstanceOf(UnsafeArchive);
    expect(() => formatOf('application/zip')).toThrow('cannot be installed by this agent');
  });
});

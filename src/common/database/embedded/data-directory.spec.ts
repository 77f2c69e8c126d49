import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openDataDirectory } from './data-directory.js';
import { ownIdentity } from './process-identity.js';

let parent: string;
let path: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'data-directory-'));
  path = join(parent, 'data');
});

afterEach(() => rm(parent, { recursive: true, force: true }));

async function modeOf(file: string): Promise<string> {
  return ((await stat(file)).mode & 0o777).toString(8);
}

/** The number of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

describe('the data directory', () => {
  it('is made for its owner alone', async () => {
    await openDataDirectory(path);
    expect(await modeOf(path)).toBe('700');
    expect(await modeOf(join(path, 'lock'))).toBe('600');
  });

  it('is made with all above it that is missing, by several starters at once', async () => {
    const deep = join(parent, 'a', 'b', 'c');
    const opened = await Promise.all([1, 2, 3].map(() => openDataDirectory(deep, { exclusive: false })));
    expect(opened.map((each) => each.path)).toEqual([deep, deep, deep]);
    expect(await modeOf(join(parent, 'a'))).toBe('700');
  });

  it.each(['/proc/fabric', '/proc/fabric/deep/data'])('%s is refused in one line, at once', async (place) => {
    await expect(openDataDirectory(place)).rejects.toThrow(
      new RegExp(`^The data directory ${place} cannot be used \\(\\w+\\): .*FABRIC_DATA_DIR\\.$`),
    );
  });

  it('keeps its secrets, each in a file for its owner alone', async () => {
    const first = await openDataDirectory(path);
    const secrets = [await first.ownerToken(), await first.masterKey()];
    await first.release();

    expect(secrets).toEqual([
      expect.stringMatching(/^fabo_[\w-]{43}$/),
      expect.stringMatching(/^[\w-]{43}$/),
    ]);
    expect(await readFile(first.ownerTokenFile, 'utf8')).toBe(`${secrets[0]}\n`);
    expect([await modeOf(first.ownerTokenFile), await modeOf(join(path, 'master-key'))]).toEqual([
      '600',
      '600',
    ]);
    const second = await openDataDirectory(path);
    expect([await second.ownerToken(), await second.masterKey()]).toEqual(secrets);
  });

  it('gives racing askers the same secret', async () => {
    const data = await openDataDirectory(path);
    const answers = await Promise.all(Array.from({ length: 10 }, () => data.masterKey()));
    expect(new Set(answers).size).toBe(1);
  });

  it('refuses an empty secret instead of replacing it', async () => {
    const data = await openDataDirectory(path);
    await writeFile(join(path, 'master-key'), '\n');
    await expect(data.masterKey()).rejects.toThrow(/master-key is empty/);
  });

  it('says in one line that it cannot be made, and where', async () => {
    await writeFile(path, 'a file');
    await expect(openDataDirectory(join(path, 'below'))).rejects.toThrow(
      /^The data directory .*below cannot be used \(ENOTDIR\): .*FABRIC_DATA_DIR\.$/,
    );
  });
});

describe('its lock', () => {
  it('refuses a second copy, naming the process and the directory', async () => {
    await openDataDirectory(path);
    await expect(openDataDirectory(path)).rejects.toThrow(
      new RegExp(
        `^Another copy of the service \\(process ${process.pid}\\) is using the data directory ${path}:`,
      ),
    );
  });

  it('is free again after its release', async () => {
    await (await openDataDirectory(path)).release();
    await expect(openDataDirectory(path)).resolves.toMatchObject({ path });
  });

  it('is taken over from a process that has ended', async () => {
    await openDataDirectory(path);
    await writeFile(join(path, 'lock'), JSON.stringify({ pid: deadPid(), startedAt: null }));
    await expect(openDataDirectory(path)).resolves.toMatchObject({ path });
  });

  it('is taken over when another process got the number of its dead holder', async () => {
    if (ownIdentity().startedAt === null) return; // a system that does not tell
    await openDataDirectory(path);
    await writeFile(join(path, 'lock'), JSON.stringify({ pid: process.pid, startedAt: 'in another life' }));
    await expect(openDataDirectory(path)).resolves.toMatchObject({ path });
  });

  it('goes to exactly one of many that race for a dead one', async () => {
    await openDataDirectory(path);
    await writeFile(join(path, 'lock'), JSON.stringify({ pid: deadPid(), startedAt: null }));
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => openDataDirectory(path)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await readdir(path)).toEqual(['lock']);
  });

  it('goes on from one that died while it took a dead one over', async () => {
    await openDataDirectory(path);
    const dead = JSON.stringify({ pid: deadPid(), startedAt: null });
    const right = `lock.${createHash('sha256').update(dead).digest('hex').slice(0, 16)}`;
    await writeFile(join(path, 'lock'), dead);
    await writeFile(join(path, right), JSON.stringify({ pid: deadPid(), startedAt: null, nonce: 'x' }));
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => openDataDirectory(path)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await readdir(path)).toEqual(['lock']);
  });

  it('stays with its new holder when the old one releases late', async () => {
    const old = await openDataDirectory(path);
    const taken = JSON.stringify({ pid: process.ppid, startedAt: null });
    await writeFile(join(path, 'lock'), taken);
    await old.release();
    expect(await readFile(join(path, 'lock'), 'utf8')).toBe(taken);
  });
});

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { Log } from '../log.js';
import { ArtifactDownloads, WrongContent } from './artifact-download.js';
import type { ArtifactSource } from './artifact-source.js';

const CONTENT = Buffer.from('the release, byte for byte, and not one more');
const FILE = { sha256: createHash('sha256').update(CONTENT).digest('hex'), size: CONTENT.length };
const NEVER = new AbortController().signal;
const quiet = new Log('error', () => undefined);

let folder: string;
let downloads: ArtifactDownloads;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downloads-'));
  downloads = new ArtifactDownloads(folder, quiet);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A source that has `bytes` and breaks off once it has given so many. */
class Source implements ArtifactSource {
  readonly asked: number[] = [];

  constructor(
    readonly name: string,
    private readonly bytes: Buffer,
    private readonly breaksAfter = Number.POSITIVE_INFINITY,
    private readonly knowsRanges = true,
  ) {}

  async read(...[, from, take]: Parameters<ArtifactSource['read']>): Promise<void> {
    this.asked.push(from);
    const start = this.knowsRanges ? from : 0;
    const { bytes, breaksAfter } = this;
    await take(
      start,
      (async function* () {
        for (let at = start; at < bytes.length; at += 7) {
          if (at - start >= breaksAfter) throw new Error('the line is dead');
          yield bytes.subarray(at, at + 7);
        }
      })(),
    );
  }
}
const fetch = (...sources: ArtifactSource[]) => downloads.fetch(FILE, sources, NEVER);
const lie = (size = CONTENT.length): Buffer => Buffer.alloc(size, 'x');

describe('a download', () => {
  it('goes on where it broke off, and from another source', async () => {
    await expect(fetch(new Source('first', CONTENT, 14))).rejects.toThrow('the line is dead');
    const second = new Source('second', CONTENT);
    expect(await readFile(await fetch(second))).toEqual(CONTENT);
    expect(second.asked).toEqual([14]);
  });

  it('begins anew where a source gives the whole', async () => {
    await expect(fetch(new Source('first', CONTENT, 14))).rejects.toThrow();
    expect(await readFile(await fetch(new Source('second', CONTENT, undefined, false)))).toEqual(CONTENT);
  });

  it('asks once more for all of it when what was there before may be to blame', async () => {
    await writeFile(join(folder, `${FILE.sha256}.part`), lie(10));
    const source = new Source('honest', CONTENT);
    expect(await readFile(await fetch(source))).toEqual(CONTENT);
    expect(source.asked).toEqual([10, 0]);
  });

  it('believes no source, and goes on to the next one', async () => {
    const honest = new Source('honest', CONTENT);
    expect(await readFile(await fetch(new Source('liar', lie()), honest))).toEqual(CONTENT);
    expect(honest.asked).toEqual([0]);
  });

  it.each([
    ['other bytes', lie()],
    ['more than there must be', Buffer.concat([CONTENT, lie(1)])],
    ['10 MB more', lie(10_000_000)],
  ])('keeps nothing of %s', async (_, bytes) => {
    await expect(fetch(new Source('liar', bytes))).rejects.toBeInstanceOf(WrongContent);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is not made again, and is made again when the file was changed', async () => {
    const path = await fetch(new Source('first', CONTENT));
    const second = new Source('second', CONTENT);
    await fetch(second);
    expect(second.asked).toEqual([]);
    await writeFile(path, lie());
    expect(await readFile(await fetch(second))).toEqual(CONTENT);
  });

  it('has the right bytes or none, whatever sources do', async () => {
    const source = fc.record({
      bytes: fc.constantFrom(CONTENT, lie(), lie(3), Buffer.concat([CONTENT, lie(9)])),
      breaksAfter: fc.integer({ min: 0, max: 60 }),
      knowsRanges: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(source, { maxLength: 6 }), async (sources) => {
        const made = sources.map(
          ({ bytes, breaksAfter, knowsRanges }) => new Source('any', bytes, breaksAfter, knowsRanges),
        );
        await fetch(...made).catch(() => undefined);
        // Whatever they left, an honest one makes it right.
        expect(await readFile(await fetch(new Source('honest', CONTENT)))).toEqual(CONTENT);
        await downloads.keepOnly([]);
        expect(await readdir(folder)).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });
});

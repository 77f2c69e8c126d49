import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ServiceOutput } from './service-output.js';

const limits = { lineCharacters: 20, tailLines: 4, tailBytes: 200, fileBytes: 400 };
let folder: string;
let troubles: Error[];
let news: number;
let output: ServiceOutput;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'output-'));
  troubles = [];
  news = 0;
  const listener = {
    written: (): void => {
      news += 1;
    },
    troubled: (error: Error): void => void troubles.push(error),
  };
  output = new ServiceOutput(join(folder, 'output.log'), listener, limits);
});
afterEach(async () => {
  await output.close();
  await rm(folder, { recursive: true, force: true });
});

const says = (...chunks: (string | Buffer)[]): Promise<void> =>
  output.take(Readable.from(chunks.map((chunk) => Buffer.from(chunk))));
/** Without the times. */
const texts = (log: string): string[] =>
  log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.slice('2026-01-01T00:00:00.000Z '.length));
const tail = (): string[] => texts(output.tail());
const logged = async (name: string): Promise<string[]> => texts(await readFile(join(folder, name), 'utf8'));

describe('the output of a service', () => {
  it('is kept line by line, however it comes', async () => {
    await says('one\ntw', 'o\r\n', 'thr', 'ee');
    expect(tail()).toEqual(['one', 'two', 'three']);
    expect(news).toBe(3);
    expect(await logged('output.log')).toEqual(['one', 'two', 'three']);
    expect(output.tail()).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z one\n/);
  });

  it('keeps characters whole that come in pieces', async () => {
    const word = Buffer.from('Ключ');
    await says(word.subarray(0, 3), word.subarray(3));
    expect(tail()).toEqual(['Ключ']);
  });

  it('is bounded in lines and bytes, the latest stay', async () => {
    await says('1\n2\n3\n4\n5\n6\n');
    expect(tail()).toEqual(['3', '4', '5', '6']);
    await says(`${'x'.repeat(20)}\n`.repeat(10));
    expect(Buffer.byteLength(output.tail())).toBeLessThanOrEqual(limits.tailBytes);
  });

  it('cuts a line that never ends', async () => {
    await says('a'.repeat(50));
    expect(tail()).toEqual(['a'.repeat(20), 'a'.repeat(20), 'a'.repeat(10)]);
  });

  it('holds nothing that acts on a terminal or that no database takes', async () => {
    await says('a\u0000b\u001b[2Jc\td\n');
    expect(tail()).toEqual(['a\ufffdb\ufffd[2Jc\td']);
  });

  it('fills two files and no more, however much there is', async () => {
    for (let round = 0; round < 41; round += 1) await says(`line ${round}\n`.repeat(3));
    expect((await readdir(folder)).sort()).toEqual(['output.log', 'output.log.1']);
    for (const name of await readdir(folder)) {
      expect((await stat(join(folder, name))).size).toBeLessThan(limits.fileBytes + 200);
    }
    expect([...(await logged('output.log.1')), ...(await logged('output.log'))].at(-1)).toBe('line 40');
  });

  it('goes on in the file of the process before it', async () => {
    await says('first\n');
    await output.close();
    await says('second\n');
    expect(await logged('output.log')).toEqual(['first', 'second']);
  });

  it('makes a service wait that writes faster than the disk', async () => {
    let taken = 0;
    const flood = new Readable({
      highWaterMark: 16,
      read(): void {
        taken += 1;
        this.push(taken > 500 ? null : `line ${taken}\n`);
      },
    });
    const reading = output.take(flood);
    await new Promise(setImmediate);
    expect(taken).toBeLessThan(100);
    await reading;
    expect(tail().at(-1)).toBe('line 500');
  });

  it('is still known when the disk takes nothing', async () => {
    await mkdir(join(folder, 'output.log'));
    await says('one\n', 'two\n');
    expect(tail()).toEqual(['one', 'two']);
    expect(troubles).not.toEqual([]);
  });
});

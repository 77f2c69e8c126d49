import { expect, it } from '@jest/globals';
import { atOnce, inTurns, type LongWork } from './long-work.js';

function* work(done: string[]): LongWork<number> {
  for (const part of ['first', 'second', 'third']) {
    done.push(part);
    yield;
  }
  return done.length;
}

it('lets others have their turn after each part', async () => {
  const done: string[] = [];
  const result = inTurns(work(done));
  expect(done).toEqual(['first']);
  await new Promise((resolve) => setImmediate(resolve));
  done.push('another');
  expect(await result).toBe(4);
  expect(done.indexOf('another')).toBeLessThan(done.indexOf('third'));
});

it('is the same at once', () => {
  const done: string[] = [];
  expect(atOnce(work(done))).toBe(3);
});

it('fails as its work does', async () => {
  function* failing(): LongWork<never> {
    yield;
    throw new Error('no');
  }
  await expect(inTurns(failing())).rejects.toThrow('no');
  expect(() => atOnce(failing())).toThrow('no');
});

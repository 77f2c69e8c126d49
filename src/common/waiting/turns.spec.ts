import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { withResolvers } from '../promise-with-resolvers.js';
import { Turns } from './turns.js';

/** Work that ends when it is told to, and remembers that it began. */
function work(begun: string[], name: string) {
  const { promise, resolve, reject } = withResolvers<string>();
  const run = () => {
    begun.push(name);
    return promise;
  };
  return { run, end: () => resolve(name), fail: () => reject(new Error(name)) };
}

const settled = () => jest.advanceTimersByTimeAsync(0);

describe('turns', () => {
  let turns: Turns;
  let begun: string[];
  beforeEach(() => {
    jest.useFakeTimers();
    turns = new Turns({ atOnce: 2, waitMs: 1_000, retryAfterSeconds: 1 });
    begun = [];
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('are taken one at a time for a key, in order', async () => {
    const [one, two, three] = [work(begun, '1'), work(begun, '2'), work(begun, '3')];
    const results = [one, two, three].map(({ run }) => turns.run('a', run));
    await settled();
    expect(begun).toEqual(['1']);
    one.end();
    await settled();
    expect(begun).toEqual(['1', '2']);
    two.end();
    await settled();
    three.end();
    expect(await Promise.all(results)).toEqual(['1', '2', '3']);
  });

  it('are taken at the same time for different keys, and a few at once over all', async () => {
    const works = ['a', 'b', 'c'].map((name) => work(begun, name));
    const results = works.map(({ run }, index) => turns.run(String(index), run));
    await settled();
    expect(begun).toEqual(['a', 'b']);
    works[1]?.end();
    await settled();
    expect(begun).toEqual(['a', 'b', 'c']);
    for (const each of works) each.end();
    await Promise.all(results);
  });

  it('pass a key that is busy and let others in, the longest waiting first', async () => {
    const works = ['a1', 'a2', 'a3', 'b', 'c', 'd'].map((name) => work(begun, name));
    const results = works.map(({ run }, index) => turns.run('aaabcd'[index] ?? '', run));
    await settled();
    expect(begun).toEqual(['a1', 'b']);
    works[3]?.end();
    await settled();
    expect(begun).toEqual(['a1', 'b', 'c']);
    works[0]?.end();
    await settled();
    expect(begun).toEqual(['a1', 'b', 'c', 'a2']);
    for (const each of works) each.end();
    await settled();
    await Promise.all(results);
    expect(begun).toEqual(['a1', 'b', 'c', 'a2', 'd', 'a3']);
  });

  it('end with a failure too', async () => {
    const [one, two] = [work(begun, '1'), work(begun, '2')];
    const failing = turns.run('a', one.run);
    const next = turns.run('a', two.run);
    one.fail();
    await expect(failing).rejects.toThrow('1');
    two.end();
    expect(await next).toBe('2');
  });

  it('are given up by who has waited too long, and pass to the next', async () => {
    const [one, late, three] = [work(begun, '1'), work(begun, 'late'), work(begun, '3')];
    const first = turns.run('a', one.run);
    const refused = expect(turns.run('a', late.run)).rejects.toMatchObject({
      kind: 'unavailable',
      details: { retryAfterSeconds: 1 },
    });
    await jest.advanceTimersByTimeAsync(999);
    const third = turns.run('a', three.run);
    await jest.advanceTimersByTimeAsync(1);
    await refused;
    one.end();
    await settled();
    three.end();
    expect(await Promise.all([first, third])).toEqual(['1', '3']);
    expect(begun).toEqual(['1', '3']);
    // Nobody is left in the way.
    const again = work(begun, 'again');
    const last = turns.run('a', again.run);
    await settled();
    expect(begun.at(-1)).toBe('again');
    again.end();
    await last;
  });
});

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { withResolvers } from '../promise-with-resolvers.js';
import { Slots } from './slots.js';

describe('slots', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('are taken by whoever comes first, and given up by who waits too long', async () => {
    const slots = new Slots({ atOnce: 2, waitMs: 1_000, retryAfterSeconds: 5 });
    const begun: number[] = [];
    const works = Array.from({ length: 4 }, () => withResolvers<void>());
    const results = works.map(({ promise }, index) =>
      slots.run(() => {
        begun.push(index);
        return promise;
      }),
    );
    const last = expect(results[3]).rejects.toMatchObject({
      kind: 'unavailable',
      details: { retryAfterSeconds: 5 },
    });
    await jest.advanceTimersByTimeAsync(999);
    expect(begun).toEqual([0, 1]);
    works[1]?.resolve();
    await jest.advanceTimersByTimeAsync(1);
    expect(begun).toEqual([0, 1, 2]);
    await last;
    for (const work of works) work.resolve();
    await Promise.all(results.slice(0, 3));
    expect(begun).toEqual([0, 1, 2]);
  });
});

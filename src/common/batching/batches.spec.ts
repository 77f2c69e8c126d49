import { describe, expect, it } from '@jest/globals';
import { withResolvers } from '../promise-with-resolvers.js';
import { Batches, type Batching } from './batches.js';

interface Item {
  key: string;
  value: number;
}

/** What was written, batch by batch; each write waits for `release` when there is one. */
function recorded(more: Partial<Batching<Item, number>> = {}) {
  const written: Item[][] = [];
  const batches = new Batches<Item, number>({
    keyOf: ({ key }) => key,
    write: async (items) => {
      written.push([...items]);
      return new Map(items.map(({ key, value }) => [key, value]));
    },
    gatherMs: 1,
    size: 3,
    maxWrites: 2,
    maxWaiting: 100,
    ...more,
  });
  return { batches, written };
}

const item = (key: string, value = 0): Item => ({ key, value });

describe('batches', () => {
  it('write together what comes within a moment, and answer each its own', async () => {
    const { batches, written } = recorded();
    expect(await Promise.all([batches.add(item('a', 1)), batches.add(item('b', 2))])).toEqual([1, 2]);
    expect(written).toEqual([[item('a', 1), item('b', 2)]]);
  });

  it('never hold one key twice, and keep the order of its items', async () => {
    const { batches, written } = recorded();
    await Promise.all([1, 2, 3].map((value) => batches.add(item('a', value))));
    expect(written).toEqual([[item('a', 1)], [item('a', 2)], [item('a', 3)]]);
  });

  it('hold no more than their size', async () => {
    const { batches, written } = recorded();
    await Promise.all(['a', 'b', 'c', 'd'].map((key) => batches.add(item(key))));
    expect(written.map((each) => each.length)).toEqual([3, 1]);
  });

  it('are no more at a time than allowed, and keep a key waiting that is being written', async () => {
    const gate = withResolvers<void>();
    const began: string[] = [];
    const { batches } = recorded({
      size: 1,
      write: async ([each = item('')]) => {
        began.push(`${each.key}${each.value}`);
        await gate.promise;
        return new Map([[each.key, each.value]]);
      },
    });
    const answers = [item('a', 1), item('a', 2), item('b', 1), item('c', 1)].map((each) => batches.add(each));
    expect(began).toEqual(['a1', 'b1']);
    gate.resolve();
    expect(await Promise.all(answers)).toEqual([1, 2, 1, 1]);
    expect(began).toEqual(['a1', 'b1', 'a2', 'c1']);
  });

  it('answer null where the write says nothing of an item', async () => {
    const { batches } = recorded({ write: async () => new Map() });
    expect(await batches.add(item('a'))).toBeNull();
  });

  it('are split when they fail, so that only the item at fault fails', async () => {
    const { batches } = recorded({
      size: 4,
      write: async (items) => {
        if (items.some(({ key }) => key === 'bad')) throw new Error('bad');
        return new Map(items.map(({ key, value }) => [key, value]));
      },
    });
    const answers = ['a', 'bad', 'b', 'c'].map((key, value) => batches.add(item(key, value)));
    expect((await Promise.allSettled(answers)).map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });

  it('fail as a whole, and at once, when the database is away', async () => {
    let writes = 0;
    const { batches } = recorded({
      write: async () => {
        writes += 1;
        throw Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });
      },
    });
    const answers = await Promise.allSettled([batches.add(item('a')), batches.add(item('b'))]);
    expect([answers.map(({ status }) => status), writes]).toEqual([['rejected', 'rejected'], 1]);
  });

  it('refuse what would wait too long, and say when to come back', async () => {
    const { batches } = recorded({ maxWaiting: 1, gatherMs: 5 });
    const first = batches.add(item('a', 1));
    expect(() => batches.add(item('b'))).toThrow(
      expect.objectContaining({ kind: 'unavailable', details: { retryAfterSeconds: 5 } }),
    );
    expect(await first).toBe(1);
  });
});

import { describe, expect, it } from '@jest/globals';
import { withResolvers } from '../promise-with-resolvers.js';
import { SharedReads } from './shared-reads.js';

/** Reads that end when they are let, each with its number. */
function counted() {
  const gates: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const reads = new SharedReads<number>();
  const get = (key: string): Promise<number> =>
    reads.get(key, async () => {
      const gate = withResolvers<void>();
      const number = gates.push({ resolve: () => gate.resolve(), reject: (error) => gate.reject(error) });
      await gate.promise;
      return number;
    });
  return { get, gates };
}

describe('shared reads', () => {
  it('give to whoever comes while one is under way the next one, once for all of them', async () => {
    const { get, gates } = counted();
    const first = get('a');
    const crowd = [get('a'), get('a'), get('a')];
    expect(gates).toHaveLength(1);
    gates[0]?.resolve();
    expect(await first).toBe(1);
    await Promise.resolve();
    const later = get('a');
    expect(gates).toHaveLength(2);
    gates[1]?.resolve();
    expect(await Promise.all(crowd)).toEqual([2, 2, 2]);
    gates[2]?.resolve();
    expect(await later).toBe(3);
  });

  it('begin anew when nobody waits, and keep what differs apart', async () => {
    const { get, gates } = counted();
    const [a, b] = [get('a'), get('b')];
    expect(gates).toHaveLength(2);
    for (const gate of gates) gate.resolve();
    expect(await Promise.all([a, b])).toEqual([1, 2]);
    const again = get('a');
    gates[2]?.resolve();
    expect(await again).toBe(3);
  });

  it('fail for those that shared the one that failed, and go on', async () => {
    const { get, gates } = counted();
    const first = get('a');
    const second = get('a');
    gates[0]?.reject(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    await Promise.resolve();
    gates[1]?.resolve();
    expect(await second).toBe(2);
  });
});

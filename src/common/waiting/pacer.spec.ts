import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Pacer } from './pacer.js';

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('a pacer', () => {
  it('releases a crowd in groups, and gives others a turn in between', async () => {
    const released: number[] = [];
    const pacer = new Pacer<number>((item) => released.push(item));
    for (const item of numbers(1_000)) pacer.add(item, 'crowd');
    expect(released).toEqual([]);
    const seen: number[] = [];
    while (released.length < 1_000) {
      await turn();
      seen.push(released.length);
    }
    expect(seen.length).toBeGreaterThanOrEqual(10);
    expect(seen.every((count, index) => count - (seen[index - 1] ?? 0) <= 100)).toBe(true);
    expect(released).toEqual(numbers(1_000));
  });

  it('lets those go first who cannot wait, also when a crowd is on its way', async () => {
    const released: string[] = [];
    const pacer = new Pacer<string>((item) => released.push(item));
    for (const item of numbers(300)) pacer.add(`crowd ${item}`, 'crowd');
    await turn();
    pacer.add('fence', 'first');
    const before = released.length;
    await pacer.emptied();
    expect(before).toBeLessThan(300);
    expect(released[before]).toBe('fence');
    expect(released).toHaveLength(301);
  });

  it('says when it is empty, at once where it is', async () => {
    const released: number[] = [];
    const pacer = new Pacer<number>((item) => released.push(item));
    await pacer.emptied();
    for (const item of numbers(250)) pacer.add(item, 'crowd');
    await pacer.emptied();
    expect(released).toHaveLength(250);
  });
});

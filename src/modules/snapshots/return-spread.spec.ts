import { describe, expect, it } from '@jest/globals';
import { returnAfterSeconds, returnSeconds } from './return-spread.js';

describe('agents that are sent away', () => {
  it.each([
    [0, 1],
    [200, 1],
    [201, 2],
    [5_000, 25],
    [100_000, 30],
  ])('%d of them come back within %d seconds', (agents, seconds) => {
    expect(returnSeconds(agents)).toBe(seconds);
  });

  it('come back evenly, each within the time', () => {
    const spread = returnSeconds(4_000);
    const returns = Array.from({ length: 4_000 }, (_, index) => returnAfterSeconds(`node-${index}`, spread));
    const bySecond = Array.from(
      { length: spread },
      (_, index) => returns.filter((at) => at === index + 1).length,
    );
    expect(bySecond.reduce((sum, count) => sum + count)).toBe(4_000);
    expect(Math.max(...bySecond)).toBeLessThan(300);
    expect(Math.min(...bySecond)).toBeGreaterThan(100);
  });
});

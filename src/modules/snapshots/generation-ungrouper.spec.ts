import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Logger } from 'pino';
import type { Jobs } from '../../common/jobs/jobs.js';
import { GenerationUngrouper } from './generation-ungrouper.js';
import type { KeptGenerationGroupsRepository } from './kept-generation-groups.repository.js';

/** When each group was stored; the clock is the fake one, and no database lives by that. */
let stored: number[];
let taken: number[];
const groups = {
  takeApart(ageSeconds: number, limit: number): Promise<number> {
    const due = stored.filter((at) => at <= performance.now() - ageSeconds * 1000).slice(0, limit);
    stored = stored.filter((at) => !due.includes(at));
    taken.push(...due.map(() => performance.now()));
    return Promise.resolve(due.length);
  },
} as unknown as KeptGenerationGroupsRepository;

let ungrouper: GenerationUngrouper;
beforeEach(() => {
  jest.useFakeTimers({ now: 0 });
  stored = [];
  taken = [];
  ungrouper = new GenerationUngrouper(groups, {} as Jobs, {} as Logger);
});
afterEach(async () => {
  await ungrouper.beforeApplicationShutdown();
  jest.useRealTimers();
});

function store(): void {
  stored.push(performance.now());
  ungrouper.stored();
}
const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

describe('groups', () => {
  it('are taken apart one after the other once none has come for two seconds', async () => {
    for (let count = 0; count < 4; count += 1) {
      store();
      await pass(1_500);
    }
    await pass(499);
    expect(taken).toEqual([]);
    await pass(200);
    expect(taken).toHaveLength(4);
    expect(new Set(taken).size).toBe(4);
    await pass(60_000);
    store();
    await pass(1_999);
    expect(taken).toHaveLength(4);
    await pass(1);
    expect(taken).toHaveLength(5);
  });

  it('are taken apart half a minute after the first when they never stop coming, and none is left behind', async () => {
    for (let second = 0; second < 80; second += 1) {
      store();
      await pass(1_000);
      if (second === 28) expect(taken).toEqual([]);
      if (second === 30) expect(taken.length).toBeGreaterThan(5);
    }
    expect(stored.length).toBeLessThanOrEqual(32);
    await pass(3_000);
    expect(stored).toEqual([]);
  });

  it('are left to others when the service stops', async () => {
    store();
    await ungrouper.beforeApplicationShutdown();
    store();
    await pass(60_000);
    expect(taken).toEqual([]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { withResolvers } from '../promise-with-resolvers.js';
import { Nudged } from './nudged.js';

/** Work whose runs end when the test says so. */
function given() {
  const runs: ReturnType<typeof withResolvers<void>>[] = [];
  const nudged = new Nudged(() => {
    const run = withResolvers<void>();
    runs.push(run);
    return run.promise;
  });
  return { nudged, runs };
}

describe('nudged work', () => {
  it('runs once more, however often it is asked for while it runs', async () => {
    const { nudged, runs } = given();
    for (let times = 0; times < 10; times += 1) nudged.nudge();
    expect(runs).toHaveLength(1);
    runs[0]?.resolve();
    await Promise.resolve();
    await Promise.resolve();
    expect(runs).toHaveLength(2);
    runs[1]?.resolve();
    await nudged.settled();
    expect(runs).toHaveLength(2);
  });

  it('runs again when it is asked for after it has ended', async () => {
    const { nudged, runs } = given();
    for (const nth of [0, 1]) {
      nudged.nudge();
      runs[nth]?.resolve();
      await nudged.settled();
    }
    expect(runs).toHaveLength(2);
  });

  it('finishes the present run and takes no more when it is closed', async () => {
    const { nudged, runs } = given();
    nudged.nudge();
    nudged.nudge();
    const closed = nudged.close();
    nudged.nudge();
    runs[0]?.resolve();
    await closed;
    expect(runs).toHaveLength(1);
  });

  it('does not rest longer than until it is closed', async () => {
    let runs = 0;
    const nudged = new Nudged(async () => {
      runs += 1;
    }, 3_600_000);
    nudged.nudge();
    await nudged.close();
    expect(runs).toBe(1);
  });
});

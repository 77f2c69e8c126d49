import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { BrokenInvariant } from '../support/rollouts/broken-invariant.js';
import { histories, setups } from '../support/rollouts/history.js';
import { HttpFabric } from '../support/rollouts/http-fabric.js';
import { liveOverHttp } from '../support/rollouts/http-history.js';
import { MISTAKES } from '../support/rollouts/http-mistakes.js';
import { PIN_MISTAKES } from '../support/rollouts/http-pin-mistakes.js';
import { pinnedHistories } from '../support/rollouts/pin-happenings.js';

/** Set them for a night. Each takes some ten seconds, and far more on a busy machine. */
const HISTORIES = Number(process.env.FABRIC_TEST_ROLLOUT_HTTP_HISTORIES ?? 3);
/** So many by hand, with a seed of their own that is told when one fails. */
const PINNED = Number(process.env.FABRIC_TEST_PINNED_HISTORIES ?? 0);
/** Histories with pins that have found something: what was explained of a node beside an emergency pin that waited for
 *  approvals, and a version that was left out where a node had come back meanwhile. */
const WITH_PINS =
  PINNED > 0
    ? [{ numRuns: PINNED }]
    : [
        { seed: 11_610, path: '2' },
        { seed: 427_473_372, path: '12' },
      ];
const LIMIT_MS = 180_000 + 60_000 * Math.max(HISTORIES, PINNED);
const SEED = Number(process.env.FABRIC_TEST_ROLLOUT_SEED ?? 53);

let fabric: HttpFabric;
beforeAll(async () => {
  fabric = await HttpFabric.open();
});
afterAll(() => fabric?.close());

/** How many things happen at once, by turns. */
const atOnce = fc.array(fc.constantFrom(1, 1, 2, 4, 8), { minLength: 1, maxLength: 12 });

describe('a rollout at two instances of the service', () => {
  it(
    'holds its invariants, whatever happens at once, and ends where somebody decides',
    async () => {
      const property = fc.asyncProperty(setups, histories, atOnce, async (...history) => {
        await liveOverHttp(fabric, ...history);
      });
      await fc.assert(property, { numRuns: HISTORIES, seed: SEED, endOnFailure: true });
    },
    LIMIT_MS,
  );

  it(
    'leads over the version that may not be left out, whatever happens at once',
    async () => {
      const behindFloor = setups.map((setup) => ({ ...setup, hasFloor: true }));
      const property = fc.asyncProperty(behindFloor, histories, atOnce, async (...history) => {
        await liveOverHttp(fabric, ...history);
      });
      const numRuns = Math.ceil(HISTORIES / 3);
      await fc.assert(property, { numRuns, seed: SEED + 1, endOnFailure: true });
    },
    LIMIT_MS,
  );

  it(
    'follows pins and emergency pins in their order, past no filter, and ends when they are over',
    async () => {
      const given = process.env.FABRIC_TEST_ROLLOUT_SEED === undefined ? {} : { seed: SEED };
      const more = fc.record({ hasFloor: fc.boolean(), pinApprovals: fc.nat(1) });
      const pinned = fc.tuple(setups, more).map(([setup, terms]) => ({ ...setup, ...terms }));
      const property = fc.asyncProperty(pinned, pinnedHistories, atOnce, async (...history) => {
        await liveOverHttp(fabric, ...history);
      });
      for (const which of WITH_PINS)
        await fc.assert(property, { numRuns: 1, ...given, ...which, endOnFailure: true });
    },
    LIMIT_MS,
  );

  it.each([...MISTAKES, ...PIN_MISTAKES])(
    'would be caught at it if $name',
    async ({ plant, setup, history, breaks }) => {
      await liveOverHttp(fabric, setup, history);
      const remove = await plant(fabric);
      const broken = await liveOverHttp(fabric, setup, history)
        .then(
          () => null,
          (error: unknown) => error,
        )
        .finally(remove);
      expect(broken).toBeInstanceOf(BrokenInvariant);
      expect((broken as BrokenInvariant).invariant).toBe(breaks);
    },
  );
});

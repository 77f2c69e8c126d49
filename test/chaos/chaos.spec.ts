import { beforeAll, describe, expect, it } from '@jest/globals';
import { hasRedis } from '../support/redis.js';
import { canMoveClocks } from './chaos-postgres.js';
import { type ChaosResult, runChaos } from './run-chaos.js';

/** Of every kind one that is soon over; `npm run test:chaos` plays all of them for as long as is wanted. */
const FAULTS = [
  'kill an agent',
  'lose and delay messages',
  'pause an instance',
  'kill the database',
  'fence a connection',
  'kill Redis',
  "skew an agent's clock",
  "set the database's clock back",
  "set the database's clock forward",
];

/** Without what they need these tests are skipped, and the rest of the run goes on. */
const withRedis = hasRedis ? it : it.skip;
const withFaketime = canMoveClocks ? it : it.skip;

describe('a short run of the nemesis, over agents, two instances, a worker and a database as real processes', () => {
  let result: ChaosResult;
  beforeAll(async () => {
    result = await runChaos({
      seed: 5,
      plays: { faults: FAULTS },
      agents: 3,
      connections: 2,
      leaseTtlSeconds: 5,
      failOver: false,
      historyFile: null,
      log: () => undefined,
    });
  }, 900_000);

  it('finds every rule of leases kept in the history of all calls', () => {
    expect(result.violations).toEqual([]);
    expect(result.operations['acquire ok']).toBeGreaterThan(2);
    expect(result.operations['renew ok']).toBeGreaterThan(2);
  });

  it('finds acts that came too late, all of which a resource that checks fencing tokens refused', () => {
    expect(result.fenced).toEqual([]);
    expect(result.refusedActs).toBeGreaterThan(0);
  });

  it('finds those very acts as violations when the resource does not check tokens', () => {
    expect(result.open.map(({ rule }) => rule)).toContain('stale_act_taken');
  });

  it('meets no fault of the service and no process that ends by itself, and leaves every connection at work', () => {
    expect({ faults: result.faults, crashes: result.crashes, notRecovered: result.notRecovered }).toEqual({
      faults: [],
      crashes: [],
      notRecovered: 0,
    });
  });

  it('has killed, paused, delayed and fenced', () => {
    const always = FAULTS.filter((name) => !/clock|Redis/.test(name));
    expect(Object.keys(result.deeds)).toEqual(expect.arrayContaining(always));
  });

  withRedis('has killed Redis, where redis-server is installed', () => {
    expect(result.deeds['kill Redis']).toBe(1);
  });

  withFaketime("has set an agent's and the database's clock, where Debian's faketime is installed", () => {
    for (const name of FAULTS.filter((each) => each.includes('clock'))) expect(result.deeds[name]).toBe(1);
  });
});

import { AsyncLocalStorage } from 'node:async_hooks';
import { Jobs } from '../../../src/common/jobs/jobs.js';
import { ROLLOUT_RULES, RULES, type Rules } from '../../../src/modules/rollouts/engine/rules.js';
import type { HeldRollout } from '../../../src/modules/rollouts/held-rollout.js';
import { ReleaseVersions } from '../../../src/modules/rollouts/release-versions.js';
import { RolloutEngine } from '../../../src/modules/rollouts/rollout-engine.js';
import type { Happens } from './history.js';
import type { Fate } from './host.js';
import type { HttpFabric } from './http-fabric.js';
import type { AnyHappens } from './pin-happenings.js';
import type { Setup } from './world.js';

/** A mistake in the running service, a history in which it shows, and what it breaks. */
export interface Mistake {
  name: string;
  /** Puts it into both instances, or into their database. Returns what takes it out again. */
  plant(fabric: HttpFabric): Promise<() => Promise<void>>;
  setup: Setup;
  history: readonly AnyHappens[];
  breaks: string;
}

const wave = (name: string, percent: number, more: Partial<Setup['waves'][number]> = {}) => ({
  name,
  dependsOn: [],
  share: { kind: 'percent' as const, percent },
  soakSeconds: 0,
  requiresApproval: false,
  ...more,
});
/** Nodes of one kind, in one wave, unless the input says otherwise. */
export const fleetOf = (nodes: number, more: Partial<Setup> = {}): Setup => ({
  platforms: Array.from({ length: nodes }, () => 'linux/x64'),
  waves: [wave('all', 100)],
  maxUnavailable: 1,
  successThresholdPercent: 100,
  failureThresholdPercent: 50,
  minEvidence: 1,
  autoRollback: false,
  downgradePossible: true,
  ...more,
});

const works = (who: number, times = 1): Happens[] =>
  Array.from({ length: times }, () => ({ do: 'work', who, fate: 'well' }));
const acts = (who: number, fate: Fate): Happens => ({ do: 'act', who, fate });
/** From the offer to the new version, or as far as it is let. */
const updates = (who: number): Happens[] => works(who, 5);
const tick: Happens = { do: 'tick' };

/** Those of the pure model once more, each where the service would make it, and two that only the service can make. */
export const MISTAKES: readonly Mistake[] = [
  {
    name: 'a wave that is complete goes on',
    plant: ruling({ verdictOf: ({ open }) => (open > 0 ? 'open' : 'passed') }),
    setup: fleetOf(2),
    history: [...updates(0), ...works(1, 2), acts(1, 'unhealthy'), tick],
    breaks: 'I8',
  },
  {
    name: 'a node that is lost gives its slot back',
    plant: triggering(`
      CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
      BEGIN
        DELETE FROM update_slots AS s WHERE s.assignment_id = NEW.id;
        RETURN NULL;
      END $$;
      CREATE TRIGGER planted AFTER UPDATE ON rollout_assignments FOR EACH ROW
        WHEN (NEW.state = 'lost' AND OLD.state <> 'lost') EXECUTE FUNCTION planted()`),
    setup: fleetOf(2),
    history: [...works(0, 2), ...works(1), { do: 'pass', seconds: 700 }, tick, ...works(1)],
    breaks: 'I1',
  },
  {
    name: 'going back ignores maxUnavailable',
    plant: ruling({
      freeSlots: (held, max, direction) => (direction === 'back' ? 1 : RULES.freeSlots(held, max, direction)),
    }),
    setup: fleetOf(2),
    history: [
      ...[...updates(0), ...updates(1), tick],
      ...([{ do: 'rollback' }, tick] as const),
      ...[...works(0, 2), ...works(1, 2)],
    ],
    breaks: 'I1',
  },
  {
    name: 'only the tick looks at blocks',
    plant: (fabric) => holdingAsIfUnblocked(fabric),
    setup: fleetOf(1),
    history: [{ do: 'poll', who: 0 }, { do: 'block' }, acts(0, 'well')],
    breaks: 'I6',
  },
  {
    name: 'a pause does not stop grants',
    plant: ruling({
      mayGrant: (facts) =>
        RULES.mayGrant(facts.rolloutState === 'paused' ? { ...facts, rolloutState: 'running' } : facts),
    }),
    setup: fleetOf(1),
    history: [{ do: 'poll', who: 0 }, { do: 'pause' }, acts(0, 'well')],
    breaks: 'I7',
  },
  {
    name: 'a node is in several waves',
    plant: ruling({ takesPart: () => true }),
    setup: fleetOf(1, { waves: [wave('one', 100), wave('other', 100)] }),
    history: [],
    breaks: 'I5',
  },
  {
    name: 'one dependency is enough',
    plant: ruling({ dependenciesDone: (states) => states.length === 0 || states.includes('done') }),
    setup: fleetOf(4, {
      waves: [
        wave('left', 10),
        wave('right', 50, { requiresApproval: true }),
        wave('rest', 100, { dependsOn: ['left', 'right'] }),
      ],
    }),
    history: [...updates(0), ...updates(1), ...updates(2), ...updates(3), tick],
    breaks: 'I2',
  },
  {
    name: 'a version is left out that has to come before',
    plant: leavingOutFloors,
    setup: fleetOf(1, { hasFloor: true }),
    history: [...updates(0), tick, ...updates(0)],
    breaks: 'I14',
  },
  {
    name: 'a file of another system is offered',
    plant: triggering(`
      CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        NEW.arch := 'x64';
        RETURN NEW;
      END $$;
      CREATE TRIGGER planted BEFORE UPDATE ON rollout_assignments FOR EACH ROW
        WHEN (NEW.state = 'offered' AND OLD.state <> 'offered') EXECUTE FUNCTION planted()`),
    setup: fleetOf(2, { platforms: ['linux/x64', 'linux/arm64'] }),
    history: [...works(0), ...works(1)],
    breaks: 'I14',
  },
];

/** What is planned and led on knows of no stop. */
async function leavingOutFloors(): Promise<() => Promise<void>> {
  const sound = ReleaseVersions.prototype.for;
  ReleaseVersions.prototype.for = function (subject) {
    return { ...sound.call(this, subject), nextOnPath: (_, to) => to };
  };
  return async () => {
    ReleaseVersions.prototype.for = sound;
  };
}

function ruling(mistake: Partial<Rules>): Mistake['plant'] {
  return async ({ instances }) => {
    const rules = instances.map(({ app }) => app.get<Rules>(ROLLOUT_RULES));
    for (const each of rules) Object.assign(each, mistake);
    return async () => {
      for (const each of rules) Object.assign(each, RULES);
    };
  };
}

export function triggering(statements: string): Mistake['plant'] {
  return async (fabric) => {
    await fabric.query(statements);
    return async () => {
      await fabric.query('DROP FUNCTION planted() CASCADE');
    };
  };
}

/** Whatever is no tick takes every release for one that may be installed. */
export async function holdingAsIfUnblocked(
  { instances }: HttpFabric,
  isHeldSo: (rollout: HeldRollout['rollout']) => boolean = () => true,
): Promise<() => Promise<void>> {
  const ticking = new AsyncLocalStorage<true>();
  const all = instances.map(({ app }) => ({ engine: app.get(RolloutEngine), jobs: app.get(Jobs) }));
  for (const { engine, jobs } of all) {
    const hold = RolloutEngine.prototype.hold.bind(engine);
    const runNow = Jobs.prototype.runNow.bind(jobs);
    jobs.runNow = (...job) => ticking.run(true, () => runNow(...job));
    engine.hold = async (tx, clusterId, id): Promise<HeldRollout | null> => {
      const held = await hold(tx, clusterId, id);
      if (held === null || ticking.getStore() === true || !isHeldSo(held.rollout)) return held;
      return {
        ...held,
        usableReleaseIds: [held.rollout.releaseId, ...held.usableReleaseIds],
        unusableReleaseIds: [],
      };
    };
  }
  return async () => {
    for (const { engine, jobs } of all) {
      delete (engine as Partial<RolloutEngine>).hold;
      delete (jobs as Partial<Jobs>).runNow;
    }
  };
}

import { RolloutMoves } from '../../../src/modules/rollouts/rollout-moves.js';
import type { Happens } from './history.js';
import { HOTFIX, NEW } from './host.js';
import type { HttpFabric } from './http-fabric.js';
import { fleetOf, holdingAsIfUnblocked, type Mistake, triggering } from './http-mistakes.js';
import type { PinHappens } from './pin-happenings.js';

const pinned = (nodes: number) => fleetOf(nodes, { pinApprovals: 0 });
const emergency = (version: string, seconds = 3_000): PinHappens => ({
  do: 'emergency',
  from: 0,
  nodes: null,
  version,
  maxUnavailable: 1,
  seconds,
});
const works = (who: number): Happens => ({ do: 'work', who, fate: 'well' });
const polls = (who: number): Happens => ({ do: 'poll', who });
const tick: Happens = { do: 'tick' };

/** What pins might do wrong, each where the service would make it. */
export const PIN_MISTAKES: readonly Mistake[] = [
  {
    name: 'a pin overrides a block',
    plant: (fabric) => holdingAsIfUnblocked(fabric, ({ kind }) => kind === 'emergency'),
    setup: pinned(1),
    history: [emergency(HOTFIX), polls(0), { do: 'blockVersion', version: HOTFIX }, works(0)],
    breaks: 'I16',
  },
  {
    name: 'an expired emergency pin goes on counting',
    plant: triggering(`
      CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        NEW.expires_at := NEW.expires_at + interval '1 day';
        RETURN NEW;
      END $$;
      CREATE TRIGGER planted BEFORE INSERT ON emergency_pins FOR EACH ROW EXECUTE FUNCTION planted()`),
    setup: pinned(1),
    history: [emergency(HOTFIX, 100), polls(0), { do: 'pass', seconds: 120 }, works(0)],
    breaks: 'rule 2',
  },
  {
    name: 'the pin of a node comes before an emergency pin',
    plant: triggering(`
      CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
      BEGIN
        RETURN CASE WHEN EXISTS (SELECT 1 FROM version_pins AS v WHERE v.node_id = NEW.node_id) THEN NULL ELSE NEW END;
      END $$;
      CREATE TRIGGER planted BEFORE INSERT ON emergency_pin_nodes FOR EACH ROW EXECUTE FUNCTION planted()`),
    setup: pinned(1),
    history: [
      { do: 'pin', who: 0, version: HOTFIX, seconds: null },
      ...[tick, polls(0), emergency(NEW)],
      ...[works(0), works(0)],
    ],
    breaks: 'rule 2',
  },
  {
    name: 'lifting a pin changes what its node is told, and not the number',
    plant: touchingNothingWhenCancelled,
    setup: pinned(1),
    history: [emergency(HOTFIX), polls(0), { do: 'lift', which: 0 }, polls(0)],
    breaks: 'I17',
  },
];

/** Nobody is told that what is cancelled is no more before them. */
async function touchingNothingWhenCancelled({ instances }: HttpFabric): Promise<() => Promise<void>> {
  const all = instances.map(({ app }) => app.get(RolloutMoves));
  for (const moves of all) {
    const tell = RolloutMoves.prototype.tell.bind(moves);
    moves.tell = (tx, rollout, moved, state) => {
      const { touch } = tx;
      if (state === 'cancelled') tx.touch = () => undefined;
      tell(tx, rollout, moved, state);
      tx.touch = touch;
    };
  }
  return async () => {
    for (const moves of all) delete (moves as Partial<RolloutMoves>).tell;
  };
}

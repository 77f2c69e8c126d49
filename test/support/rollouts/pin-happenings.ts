import * as fc from 'fast-check';
import { type Happens, histories } from './history.js';
import { FLOOR, HOTFIX, NEW, OLD } from './host.js';

/** Something that somebody does about pins; `who` picks a node, and `which` a pin. */
export type PinHappens =
  | { do: 'pin'; who: number; version: string; seconds: number | null }
  | { do: 'unpin'; who: number }
  | {
      do: 'emergency';
      from: number;
      /** So many nodes from there; null: all of the cluster. */
      nodes: number | null;
      version: string;
      maxUnavailable: number;
      seconds: number;
    }
  | { do: 'lift'; which: number }
  | { do: 'approvePins' }
  | { do: 'blockVersion'; version: string };

export type AnyHappens = Happens | PinHappens;

const PINS = ['pin', 'unpin', 'emergency', 'lift', 'approvePins', 'blockVersion'];

export function isOfPins(happens: AnyHappens): happens is PinHappens {
  return PINS.includes(happens.do);
}

const who = fc.nat(13);
/** Mostly to what is there for everybody. */
const version = fc.constantFrom(OLD, NEW, NEW, HOTFIX, FLOOR);

const pinHappenings: fc.Arbitrary<PinHappens> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('pin' as const),
      ...{ who, version, seconds: fc.constantFrom(null, 100, 900) },
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('unpin' as const), who }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('emergency' as const),
      from: who,
      nodes: fc.constantFrom(null, 1, 2, 5),
      version,
      maxUnavailable: fc.integer({ min: 1, max: 3 }),
      seconds: fc.constantFrom(100, 900, 3_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lift' as const), which: fc.nat(5) }) },
  { weight: 5, arbitrary: fc.constant<PinHappens>({ do: 'approvePins' }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('blockVersion' as const),
      version: fc.constantFrom(OLD, FLOOR, HOTFIX),
    }),
  },
);

/** What happens to a rollout, and pins in the middle of it: about one in five. */
export const pinnedHistories: fc.Arbitrary<AnyHappens[]> = fc
  .tuple(
    histories,
    fc.array(fc.tuple(fc.nat(), pinHappenings), { minLength: 12, maxLength: 45, size: 'max' }),
  )
  .map(([history, pins]) => {
    const mixed: AnyHappens[] = [...history];
    for (const [place, happens] of pins) mixed.splice(place % (mixed.length + 1), 0, happens);
    return mixed;
  });

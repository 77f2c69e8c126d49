import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type BeatVerdict, type CloneSign, judgeBeat, type LastBeat } from './heartbeat-order.js';

type Beat = [instance: string | null, sequence: number];

/** Every verdict on a history of heartbeats. */
function judged(history: readonly Beat[]): { verdict: BeatVerdict; sign: CloneSign | null }[] {
  let last: LastBeat | null = null;
  return history.map(([instanceId, sequence]) => {
    const { verdict, sign, next } = judgeBeat(last, { instanceId, sequence });
    last = next;
    return { verdict, sign };
  });
}

const signs = (history: readonly Beat[]) => judged(history).flatMap(({ sign }) => sign ?? []);

describe('heartbeats', () => {
  it.each<[string, Beat[], BeatVerdict, CloneSign | null]>([
    ['the first one', [['A', 7]], 'started', null],
    [
      'the next one',
      [
        ['A', 1],
        ['A', 2],
      ],
      'next',
      null,
    ],
    [
      'a gap',
      [
        ['A', 1],
        ['A', 9],
      ],
      'next',
      null,
    ],
    [
      'one delivered twice',
      [
        ['A', 1],
        ['A', 1],
      ],
      'repeated',
      null,
    ],
    [
      'a restart',
      [
        ['A', 9],
        ['B', 1],
      ],
      'started',
      null,
    ],
    [
      'two restarts',
      [
        ['A', 9],
        ['B', 1],
        ['C', 1],
      ],
      'started',
      null,
    ],
    [
      'a sequence that goes back',
      [
        ['A', 5],
        ['A', 4],
      ],
      'went_back',
      'sequence_went_back',
    ],
    [
      'an instance that goes on after its restart',
      [
        ['A', 5],
        ['B', 1],
        ['A', 6],
      ],
      'returned',
      'instances_alternate',
    ],
    [
      'one of before the restart, delivered again',
      [
        ['A', 5],
        ['B', 1],
        ['A', 5],
      ],
      'echo',
      null,
    ],
    [
      'an older one of before the restart',
      [
        ['A', 5],
        ['B', 1],
        ['A', 4],
      ],
      'went_back',
      'sequence_went_back',
    ],
    [
      'turns',
      [
        ['A', 5],
        ['B', 1],
        ['A', 6],
        ['B', 2],
      ],
      'returned',
      'instances_alternate',
    ],
    [
      'one without an instance',
      [
        ['A', 5],
        [null, 1],
      ],
      'anonymous',
      null,
    ],
    [
      'an instance around one without',
      [
        ['A', 5],
        [null, 1],
        ['A', 6],
      ],
      'next',
      null,
    ],
    [
      'a restart without instances',
      [
        [null, 9],
        [null, 1],
      ],
      'anonymous',
      null,
    ],
    [
      'an instance after none',
      [
        [null, 9],
        ['A', 1],
      ],
      'started',
      null,
    ],
    [
      'an instance of long ago',
      [
        ['A', 5],
        ['B', 1],
        ['C', 1],
        ['A', 6],
      ],
      'started',
      null,
    ],
  ])('%s', (_, history, verdict, sign) => expect(judged(history).at(-1)).toEqual({ verdict, sign }));

  const agent = fc.array(fc.nat(3), { minLength: 1, maxLength: 10 });

  it('of one agent that restarts, with any delivery coming twice, never look like a clone', () => {
    fc.assert(
      fc.property(fc.array(agent, { maxLength: 6 }), fc.infiniteStream(fc.boolean()), (runs, doubled) => {
        const history = runs.flatMap((steps, run) => {
          let sequence = 0;
          return steps.flatMap((step): Beat[] => {
            sequence += step + 1;
            const beat: Beat = [`run-${run}`, sequence];
            return doubled.next().value ? [beat, beat] : [beat];
          });
        });
        expect(signs(history)).toEqual([]);
      }),
    );
  });

  it('of two agents that both go on look like a clone as soon as the first one is back', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 3, maxLength: 40 }), (turns) => {
        const counts = { A: 0, B: 0 };
        const history = turns.map((isFirst): Beat => {
          const instance = isFirst ? 'A' : 'B';
          counts[instance] += 1;
          return [instance, counts[instance]];
        });
        const changes = turns.filter((turn, index) => index > 0 && turn !== turns[index - 1]).length;
        expect(signs(history)).toEqual(
          Array.from({ length: Math.max(0, changes - 1) }, () => 'instances_alternate'),
        );
      }),
    );
  });

  it('of a copied process, instance and sequence with it, look like a clone once it falls behind', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20 }), (copiedAt, ahead) => {
        const own = Array.from({ length: ahead }, (_, index): Beat => ['A', copiedAt + index + 1]);
        const history: Beat[] = [['A', copiedAt], ...own, ['A', copiedAt + 1]];
        expect(signs(history)).toEqual(ahead === 1 ? [] : ['sequence_went_back']);
      }),
    );
  });

  it('never lower what is remembered of an instance', () => {
    const beat = fc.tuple(fc.constantFrom('A', 'B', 'C', null), fc.nat(8)) as fc.Arbitrary<Beat>;
    fc.assert(
      fc.property(fc.array(beat, { maxLength: 40 }), (history) => {
        let last: LastBeat | null = null;
        for (const [instanceId, sequence] of history) {
          const { next, isNews }: ReturnType<typeof judgeBeat> = judgeBeat(last, { instanceId, sequence });
          if (last !== null && next.instanceId === last.instanceId && next.instanceId !== null)
            expect(next.sequence).toBeGreaterThanOrEqual(last.sequence);
          if (!isNews) expect(next).toBe(last);
          last = next;
        }
      }),
    );
  });
});

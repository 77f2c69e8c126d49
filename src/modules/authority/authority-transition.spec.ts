import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError } from '../../common/errors/domain-error.js';
import { explainOperation } from './authority-explanation.js';
import { type AuthorityState, moved } from './authority-transition.js';

const STATES = ['authoritative', 'degraded', 'partitioned', 'recovering', 'fenced'] as const;

/** From (row) to (column), in the order of STATES: `+` moves, `=` changes nothing, `-` is no edge. By hand. */
const EDGES: Record<AuthorityState, string> = {
  authoritative: '-++-+',
  degraded: '+=+++',
  partitioned: '++=++',
  recovering: '+++=+',
  fenced: '---+=',
};

function outcome(from: AuthorityState, to: AuthorityState, term = 7, expectedTerm = term): string {
  try {
    const next = moved({ state: from, term }, { to, expectedTerm });
    return next === null ? '=' : `${next.state}/${next.term}`;
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

describe('the authority of a cluster', () => {
  it.each(STATES.flatMap((from) => STATES.map((to, index) => [from, to, EDGES[from][index]] as const)))(
    'from %s to %s: %s',
    (from, to, edge) => {
      const moves = `${to}/${to === 'authoritative' ? 8 : 7}`;
      const expected = edge === '+' ? moves : edge === '=' ? '=' : 'authority_transition_invalid';
      expect(outcome(from, to)).toBe(expected);
    },
  );

  it('moves in no state when the term is another than expected', () => {
    for (const from of STATES)
      for (const to of STATES)
        for (const expected of [6, 8]) expect(outcome(from, to, 7, expected)).toBe('authority_term_conflict');
  });

  it('raises the term at each move to authoritative and at no other, on any walk', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...STATES), { maxLength: 60 }), (wishes) => {
        let at: { state: AuthorityState; term: number } = { state: 'authoritative', term: 1 };
        for (const to of wishes) {
          const before = at;
          try {
            at = moved(at, { to, expectedTerm: at.term }) ?? at;
          } catch (error) {
            if (!(error instanceof DomainError)) throw error;
            continue;
          }
          const isGained = to === 'authoritative';
          expect(at).toEqual({ state: to, term: before.term + (isGained ? 1 : 0) });
          if (isGained) expect(['degraded', 'partitioned', 'recovering']).toContain(before.state);
          if (before.state === 'fenced') expect(['fenced', 'recovering']).toContain(to);
        }
      }),
    );
  });
});

describe('what the authority lets through', () => {
  it.each(STATES.flatMap((state) => [true, false].map((guarded) => [state, guarded] as const)))(
    'in %s, guarded: %s',
    (state, guarded) => {
      const operation = { id: 'someOperation', summary: 'Does something', guardedByAuthority: guarded };
      const verdict = explainOperation(operation, { state });
      const refused = guarded && state !== 'authoritative';
      expect(verdict).toMatchObject({
        operation: 'someOperation',
        guarded,
        refused,
        inPart: false,
        code: refused ? 'cluster_not_authoritative' : null,
      });
    },
  );

  it.each(STATES)('in %s, guarded in part', (state) => {
    const operation = { id: 'some', summary: 'Does something', guardedInPart: 'The rest goes on.' };
    const refused = state !== 'authoritative';
    expect(explainOperation(operation, { state })).toMatchObject({
      guarded: true,
      refused,
      inPart: refused,
      reason: refused ? expect.stringMatching(/The rest goes on\.$/) : 'The cluster is authoritative.',
    });
  });
});

import { describe, expect, it } from '@jest/globals';
import { ASSIGNMENT_STATES, NEXT_ASSIGNMENT_STATES } from './assignment-state.js';
import { NEXT_NODE_UPDATE_STATES, NODE_UPDATE_STATES } from './node-update.js';
import { entersTheIndex, isUnfinished, NEXT_ROLLOUT_STATES, ROLLOUT_STATES } from './rollout-state.js';
import { NEXT_WAVE_STATES, rankOf, WAVE_STATES } from './wave-state.js';

/** `from > to to` a line, written out once more by hand. */
function edges(text: string): Set<string> {
  const lines = text.trim().split('\n');
  return new Set(
    lines.flatMap((line) => {
      const [from = '', to = ''] = line.split('>').map((part) => part.trim());
      return to.split(' ').map((each) => `${from} > ${each}`);
    }),
  );
}

function found<S extends string>(states: readonly S[], next: Record<S, readonly S[]>): Set<string> {
  return new Set(
    states.flatMap((from) => states.filter((to) => next[from].includes(to)).map((to) => `${from} > ${to}`)),
  );
}

describe('the states', () => {
  it('of a rollout follow each other as the design says', () => {
    const allowed = edges(`
      draft > pending_approval running cancelled
      pending_approval > approved cancelled
      approved > running cancelled
      running > paused rolling_back succeeded succeeded_with_deferred cancelled
      paused > running paused rolling_back cancelled
      rolling_back > rolled_back rollback_stalled
      succeeded > rolling_back
      succeeded_with_deferred > rolling_back
      rollback_stalled > rolling_back`);
    expect(found(ROLLOUT_STATES, NEXT_ROLLOUT_STATES)).toEqual(allowed);
  });

  it('of a rollout take a place among the unfinished ones when they leave a draft or an end', () => {
    const unfinished = ['pending_approval', 'approved', 'running', 'paused', 'rolling_back'];
    expect(ROLLOUT_STATES.filter(isUnfinished)).toEqual(unfinished);
    expect(entersTheIndex('succeeded', 'rolling_back')).toBe(true);
    expect(entersTheIndex('draft', 'pending_approval')).toBe(true);
    expect(entersTheIndex('running', 'paused')).toBe(false);
    expect(entersTheIndex('draft', 'cancelled')).toBe(false);
  });

  it('of a wave only ever rise', () => {
    expect(found(WAVE_STATES, NEXT_WAVE_STATES)).toEqual(
      edges(`
        pending > gated
        gated > active done
        active > soaking halted
        soaking > done halted`),
    );
    for (const from of WAVE_STATES)
      for (const to of NEXT_WAVE_STATES[from]) expect(rankOf(to)).toBeGreaterThan(rankOf(from));
  });

  it('of an assignment end where something is known of the node', () => {
    expect(found(ASSIGNMENT_STATES, NEXT_ASSIGNMENT_STATES)).toEqual(
      edges(`
        planned > offered deferred skipped cancelled decommissioned
        offered > planned granted failed fenced deferred cancelled decommissioned
        granted > offered applying rolled_back failed fenced lost decommissioned
        applying > health rolled_back failed fenced lost decommissioned
        health > planned ok rolled_back failed fenced lost decommissioned
        ok > rolled_back fenced decommissioned
        rolled_back > decommissioned
        failed > fenced decommissioned
        fenced > rolled_back decommissioned
        lost > planned granted applying health ok rolled_back failed fenced decommissioned
        deferred > planned skipped cancelled decommissioned
        skipped > planned decommissioned
        cancelled > decommissioned`),
    );
  });

  it('of an update on a node are those of the specification', () => {
    expect(found(NODE_UPDATE_STATES, NEXT_NODE_UPDATE_STATES)).toEqual(
      edges(`
        idle > checking
        checking > idle downloading
        downloading > verifying failed idle
        verifying > staging failed
        staging > migrating starting failed idle
        migrating > starting rollback_required
        starting > health_checking rollback_required
        health_checking > promoting rollback_required
        promoting > running rollback_required
        running > checking idle rollback_required
        rollback_required > rolling_back fenced
        rolling_back > rolled_back fenced
        rolled_back > idle
        failed > idle fenced`),
    );
  });
});

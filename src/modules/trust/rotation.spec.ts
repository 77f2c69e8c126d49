import { describe, expect, it } from '@jest/globals';
import { DomainError } from '../../common/errors/domain-error.js';
import {
  keyPhases,
  nextPhase,
  overridesNodes,
  ROTATION_PHASES,
  type RotationPhase,
  type Spread,
} from './rotation.js';

describe('a rotation', () => {
  it.each<[RotationPhase, RotationPhase | 'rotation_finished']>([
    ['prepare', 'activate'],
    ['activate', 'taint'],
    ['taint', 'retire'],
    ['retire', 'rotation_finished'],
  ])('goes from %s to %s', (phase, next) => {
    expect(codeOr(() => nextPhase({ phase }))).toBe(next);
  });

  it('always has one key that signs, and takes the old one down step by step', () => {
    const steps = ROTATION_PHASES.map((phase) => keyPhases(phase));
    expect(steps.map((step) => [step.old, step.new])).toEqual([
      ['active', 'prepared'],
      ['superseded', 'active'],
      ['tainted', 'active'],
      ['retired', 'active'],
    ]);
  });

  const one = { nodeId: 'n', name: 'edge-1', lastSeenAt: null };
  const some: Spread = { liveNodes: 3, acknowledged: 2, waiting: [one] };
  const all: Spread = { liveNodes: 3, acknowledged: 3, waiting: [] };
  const none: Spread = { liveNodes: 0, acknowledged: 0, waiting: [] };
  const override = { reason: 'It is compromised.' };
  it.each<[string, RotationPhase, Spread, typeof override | undefined, boolean | string]>([
    ['activates before every node follows', 'activate', some, undefined, false],
    ['taints before every node follows', 'taint', some, undefined, false],
    ['retires when every node follows', 'retire', all, undefined, false],
    ['retires where there are no live nodes', 'retire', none, undefined, false],
    ['does not retire before', 'retire', some, undefined, 'bundle_not_acknowledged'],
    ['retires over those that do not, by name', 'retire', some, override, true],
    ['overrides nothing where all follow', 'retire', all, override, false],
    ['overrides nothing in another phase', 'taint', some, override, false],
  ])('%s', (_, phase, acknowledgement, given, expected) => {
    expect(codeOr(() => overridesNodes(phase, acknowledgement, given))).toBe(expected);
  });
});

function codeOr<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

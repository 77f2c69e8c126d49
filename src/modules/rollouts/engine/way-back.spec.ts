import { describe, expect, it } from '@jest/globals';
import { wayBack } from './way-back.js';

describe('the way back', () => {
  const node = {
    isWrittenOff: false,
    badVersion: '2.0.0',
    lastKnownGood: '1.0.0',
    isLastKnownGoodUsable: true,
  };
  it.each<[string, Partial<Parameters<typeof wayBack>[0]>, ReturnType<typeof wayBack>]>([
    ['leads to the last version that was good', { state: 'ok' }, { kind: 'to', version: '1.0.0' }],
    ['leads those that are on their way, too', { state: 'applying' }, { kind: 'to', version: '1.0.0' }],
    ['is not for a node that has gone back', { state: 'rolled_back' }, { kind: 'nothing' }],
    ['is not for a node that never began', { state: 'offered' }, { kind: 'nothing' }],
    ['is not for one that was written off', { state: 'lost', isWrittenOff: true }, { kind: 'nothing' }],
    ['never leads to what has just failed', { state: 'ok', lastKnownGood: '2.0.0' }, { kind: 'stranded' }],
    ['never leads to a blocked version', { state: 'ok', isLastKnownGoodUsable: false }, { kind: 'stranded' }],
    ['is missing where nothing was ever good', { state: 'ok', lastKnownGood: null }, { kind: 'stranded' }],
  ])('%s', (_, change, expected) => {
    expect(wayBack({ state: 'ok', ...node, ...change })).toEqual(expected);
  });
});

import { describe, expect, it } from '@jest/globals';
import { endingsOf } from './endings.js';
import { HistoryRecorder, type LeaseAnswer, operationsByConnection } from './history.js';

const C = 'connection';

describe('what ends leases from outside', () => {
  let time = 0;
  let process = 0;
  const recorder = new HistoryRecorder(() => {
    time += 1;
    return time;
  });
  const begin = (f: 'acquire' | 'fence' | 'revoke', nodeId?: string) => {
    process += 1;
    return recorder.invoke(process, f, C, nodeId === undefined ? {} : { nodeId });
  };
  const grant = (nodeId: string, token: number) =>
    begin('acquire', nodeId)('ok', { nodeId, token, isNew: true });
  const fence = (type: 'ok' | 'fail' | 'info', answer: LeaseAnswer = {}) => begin('fence')(type, answer);

  it('is a fence by the token that it ended, a loss of eligibility by the node, and what may have been either', () => {
    grant('a', 1); // 1, 2
    fence('ok', { ended: 1, above: 2 }); // 3, 4
    grant('b', 3); // 5, 6
    fence('fail'); // 7, 8
    begin('revoke', 'a')('ok', {}); // 9, 10
    fence('info'); // 11, 12
    grant('a', 5); // 13, 14
    const operations = operationsByConnection(recorder.entries).get(C) ?? [];
    expect(endingsOf(operations)).toEqual([
      { token: 1, from: 3 },
      { token: 1, from: 9 },
      { token: 1, from: 11 },
      { token: 3, from: 11 },
      // Its answer is lost: it may fall at any time after it was asked for.
      { token: 5, from: 11 },
    ]);
  });
});

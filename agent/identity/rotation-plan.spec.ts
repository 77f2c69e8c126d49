import { describe, expect, it } from '@jest/globals';
import type { AgentState, FinishedRotation } from '../agent-state.js';
import { rotationDueAt } from './rotation-plan.js';

const enrolledAt = '2026-03-01T00:00:00.000Z';
const first = Buffer.alloc(32).toString('base64url'); // nothing of the spread
const last = Buffer.alloc(32, 0xff).toString('base64url'); // all of it
const state = (change: Partial<AgentState> = {}): AgentState => ({
  version: 1,
  baseUrl: 'http://127.0.0.1:1',
  keyThumbprint: first,
  tokenHash: 'hash',
  wish: { nodeName: 'edge-1', requestedRoles: [], discover: false, capabilities: [], facts: {} },
  enrollment: { status: 'enrolled', nodeId: 'n', clusterId: 'c', enrolledAt, snapshotKeys: [] },
  refused: null,
  rotation: null,
  lastRotation: null,
  ...change,
});
const ended = (outcome: FinishedRotation['outcome'], at: string): FinishedRotation => ({
  outcome,
  at,
  requestId: null,
  detail: null,
});

describe('an identity key', () => {
  it.each<[string, AgentState, number | null, string | null]>([
    ['is never replaced for its age without a word', state(), null, null],
    [
      'of a node that is not enrolled is not replaced',
      state({ enrollment: { status: 'requesting', token: 'fjt_a_b' } }),
      30,
      null,
    ],
    ['is due at its age', state(), 30, '2026-03-31T00:00:00.000Z'],
    [
      'is due up to a twentieth later, by its thumbprint',
      state({ keyThumbprint: last }),
      20,
      '2026-03-21T23:59:59.999Z',
    ],
    [
      'counts from its own beginning',
      state({ lastRotation: ended('rotated', '2026-03-20T00:00:00.000Z') }),
      30,
      '2026-04-19T00:00:00.000Z',
    ],
    [
      'waits an hour after a replacement that failed',
      state({ lastRotation: ended('failed', '2026-03-31T12:00:00.000Z') }),
      30,
      '2026-03-31T13:00:00.000Z',
    ],
  ])('%s', (_, of, maxAgeDays, at) => {
    expect(rotationDueAt(of, maxAgeDays)?.toISOString() ?? null).toBe(at);
  });
});

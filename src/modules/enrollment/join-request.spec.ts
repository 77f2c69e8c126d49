import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError } from '../../common/errors/domain-error.js';
import {
  changedClaims,
  JOIN_REQUEST_STATUSES,
  type JoinRequest,
  type JoinRequestStatus,
  joinRequestStatus,
  NEXT,
  requestDigest,
  requireUndecided,
} from './join-request.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const request: JoinRequest = {
  id: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
  clusterId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c22',
  tokenId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c23',
  nodeName: 'edge-1',
  nodeFingerprint: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
  publicKey: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
  csr: null,
  reportedCapabilities: ['can_run_vpn_exit'],
  reportedFacts: { os: 'linux', arch: 'x64', hostname: 'edge-1' },
  requestedRoles: ['vpn-exit'],
  agentVersion: '0.1.0',
  clockSkewSeconds: 0,
  status: 'pending',
  expiresAt: new Date(now.getTime() + 1),
  reviewedBy: null,
  reviewedAt: null,
  approvedNodeId: null,
  rejectionReason: null,
  certificate: null,
  createdAt: now,
};

/** Written out again by hand: only a pending request goes anywhere. */
const ALLOWED: readonly string[] = [
  'pending>approved',
  'pending>rejected',
  'pending>expired',
  'pending>cancelled',
];
const pairs = JOIN_REQUEST_STATUSES.flatMap((from) =>
  JOIN_REQUEST_STATUSES.map((to): [JoinRequestStatus, JoinRequestStatus] => [from, to]),
);

describe('the state machine of join requests', () => {
  it.each(pairs)('%s to %s', (from, to) => {
    const isAllowed = ALLOWED.includes(`${from}>${to}`);
    expect(NEXT[from].includes(to)).toBe(isAllowed);
    const decide = () => requireUndecided({ ...request, status: from }, to, now);
    if (isAllowed) expect(decide).not.toThrow();
    else expect(decide).toThrow(expect.objectContaining({ code: 'join_request_decided' }));
  });

  it('expires at its instant, whether or not anybody has written it down', () => {
    expect(joinRequestStatus(request, now)).toBe('pending');
    expect(joinRequestStatus(request, request.expiresAt)).toBe('expired');
    expect(() => requireUndecided(request, 'approved', request.expiresAt)).toThrow(DomainError);
  });

  it('keeps a decision as time passes', () => {
    const decided = fc.constantFrom(...JOIN_REQUEST_STATUSES.filter((status) => status !== 'pending'));
    fc.assert(
      fc.property(decided, fc.integer(), (status, ms) => {
        const at = new Date(now.getTime() + (ms % 1e9));
        expect(joinRequestStatus({ ...request, status }, at)).toBe(status);
      }),
    );
  });

  it('is decided once, by whatever comes first, and never leaves an end', () => {
    const LIFETIME = 100;
    const step = fc.oneof(
      {
        weight: 2,
        arbitrary: fc.constantFrom('approved' as const, 'rejected' as const, 'cancelled' as const),
      },
      { weight: 1, arbitrary: fc.constant('worker' as const) },
      { weight: 2, arbitrary: fc.record({ passes: fc.integer({ min: 1, max: 60 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const expiresAt = new Date(now.getTime() + LIFETIME);
        let stored: JoinRequest = { ...request, expiresAt };
        let clock = 0;
        let decisions = 0;
        // Beside it, in other words: what came first.
        let first: JoinRequestStatus | null = null;
        for (const each of steps) {
          const instant = new Date(now.getTime() + clock);
          if (typeof each === 'object') clock += each.passes;
          else if (each === 'worker') {
            if (stored.status === 'pending' && expiresAt <= instant)
              stored = { ...stored, status: 'expired' };
          } else {
            const isLate = clock >= LIFETIME || first !== null;
            const decide = () => requireUndecided(stored, each, instant);
            if (isLate) expect(decide).toThrow(expect.objectContaining({ code: 'join_request_decided' }));
            else {
              decide();
              stored = { ...stored, status: each };
              decisions += 1;
              first = each;
            }
          }
          if (first === null && clock >= LIFETIME) first = 'expired';
          expect(joinRequestStatus(stored, new Date(now.getTime() + clock))).toBe(first ?? 'pending');
        }
        expect(decisions).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('requestDigest', () => {
  it.each<[string, Partial<JoinRequest>]>([
    ['name', { nodeName: 'edge-2' }],
    ['key', { nodeFingerprint: 'other' }],
    ['capabilities', { reportedCapabilities: [] }],
    ['facts', { reportedFacts: { os: 'linux', arch: 'x64', hostname: 'edge-2' } }],
    ['roles', { requestedRoles: [] }],
    ['version', { agentVersion: '0.2.0' }],
    ['csr', { csr: '-----BEGIN CERTIFICATE REQUEST-----' }],
  ])('covers the %s', (_, change) => {
    expect(requestDigest({ ...request, ...change })).not.toBe(requestDigest(request));
  });

  it('does not depend on the order of facts, nor on what the node did not say', () => {
    const reportedFacts = { hostname: 'edge-1', arch: 'x64', os: 'linux' };
    expect(
      requestDigest({ ...request, reportedFacts, status: 'approved', clockSkewSeconds: 9 } as JoinRequest),
    ).toBe(requestDigest(request));
  });
});

describe('changedClaims', () => {
  it('names what a repeat says otherwise', () => {
    expect(changedClaims(request, { ...request, agentVersion: '0.2.0', requestedRoles: [] })).toEqual([
      'requestedRoles',
      'agentVersion',
    ]);
    expect(changedClaims(request, { ...request, nodeName: 'ignored' } as JoinRequest)).toEqual([]);
  });
});

import { conflict, type DomainError } from '../../common/errors/domain-error.js';
import type { ProblemCode } from '../../common/http/problems.js';
import type { IneligibleReason } from './eligibility.js';
import { isInForce, type Lease, leaseHeld } from './lease.js';

/** Why nobody new may hold a connection for a while. */
export interface Hold {
  until: Date;
  /** Whether who held it last is kept from it too: the database may have forgotten somebody. */
  keepsFormerOwner: boolean;
}

/** What an acquisition is decided on, read under the connection's lock. */
export interface AcquireGround {
  now: Date;
  nodeId: string;
  /** The lease that is stored as active, whether or not its time is over. */
  lease: Lease | null;
  formerOwnerId: string | null;
  ineligible: readonly IneligibleReason[];
  authorityState: string;
  /** After a promotion, a restore or a mass lapse. */
  takeoverHold: Hold | null;
  fenceHeldUntil: Date | null;
  /** A handover: who alone may follow, and until when. */
  reservation: { nodeId: string; until: Date } | null;
  /** Until when a node that is preferred over this one, and is well, comes first. */
  othersComeFirstUntil: Date | null;
  /** The highest token that the node says to have seen, and the next one that it would get. */
  tokenSeen: number | null;
  nextToken: number;
}

/** The rules of an acquisition, in the order in which they decide. */
export const ACQUIRE_RULES = [
  'not_held_by_another',
  'connection_enabled',
  'member_active',
  'node_allowed',
  'role_effective',
  'cluster_authoritative',
  'no_takeover_hold',
  'no_fence_hold',
  'not_reserved_for_another',
  'no_preferred_node',
  'token_above_seen',
] as const;
export type AcquireRule = (typeof ACQUIRE_RULES)[number];

/** What one rule says. */
export interface RuleVerdict {
  rule: AcquireRule;
  passed: boolean;
  /** How acquire would refuse by this rule; null when it passes. */
  code: ProblemCode | null;
  detail: string;
  /** When the rule passes by the time alone, where that is known. */
  until: Date | null;
}

/** Whether the node has the lease already; then no rule is asked. */
export function owns({ lease, nodeId, now }: Pick<AcquireGround, 'lease' | 'nodeId' | 'now'>): boolean {
  return isInForce(lease, now) && lease?.ownerNodeId === nodeId;
}

/** What each rule says of a node that does not have the lease, in order. */
export function explainAcquire(ground: AcquireGround): RuleVerdict[] {
  return ACQUIRE_RULES.map((rule) => RULES[rule](ground, rule));
}

/**
 * Decides over a node that does not have the lease.
 * @throws conflict `lease_held`, `owner_not_eligible`, `cluster_not_authoritative`, `takeover_held`: by the first rule
 * that does not pass
 */
export function requireAcquirable(ground: AcquireGround): void {
  const broken = explainAcquire(ground).find(({ passed }) => !passed);
  if (broken !== undefined) throw refusal(broken, ground);
}

function refusal({ code, detail, until, rule }: RuleVerdict, ground: AcquireGround): DomainError {
  if (code === 'lease_held' && ground.lease !== null) return leaseHeld(ground.lease);
  if (code === 'owner_not_eligible') {
    return conflict(code, `The node may not hold this connection: ${ground.ineligible.join(', ')}.`, {
      extensions: { reasons: [...ground.ineligible] },
    });
  }
  if (code === 'cluster_not_authoritative')
    return conflict(code, detail, { extensions: { authorityState: ground.authorityState } });
  const waitMs = until === null ? RAISE_SECONDS * 1_000 : until.getTime() - ground.now.getTime();
  return conflict('takeover_held', detail, {
    extensions: { rule, heldUntil: until?.toISOString() ?? null },
    retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)),
  });
}

/** After so long the term may have risen above a token that a node has seen. */
const RAISE_SECONDS = 60;

type Check = (ground: AcquireGround, rule: AcquireRule) => RuleVerdict;

function verdict(
  rule: AcquireRule,
  passed: boolean,
  code: ProblemCode,
  detail: string,
  until: Date | null = null,
): RuleVerdict {
  return { rule, passed, code: passed ? null : code, detail, until: passed ? null : until };
}

/** A rule that breaks for any of these reasons. */
const eligible =
  (reasons: readonly IneligibleReason[], fine: string): Check =>
  ({ ineligible }, rule) => {
    const found = ineligible.filter((reason) => reasons.includes(reason));
    return verdict(rule, found.length === 0, 'owner_not_eligible', found.join(', ') || fine);
  };

/** A rule that breaks until an instant. */
const held =
  (fine: string, broken: string, untilOf: (ground: AcquireGround) => Date | null): Check =>
  (ground, rule) => {
    const until = untilOf(ground);
    const passed = until === null || until <= ground.now;
    return verdict(rule, passed, 'takeover_held', passed ? fine : broken, until);
  };

const RULES: Record<AcquireRule, Check> = {
  not_held_by_another: ({ lease, nodeId, now }, rule) => {
    const passed = !isInForce(lease, now) || lease?.ownerNodeId === nodeId;
    const detail = passed ? 'No other node has an unexpired lease.' : 'Another node has an unexpired lease.';
    return verdict(rule, passed, 'lease_held', detail, lease?.expiresAt ?? null);
  },
  connection_enabled: eligible(['connection_disabled', 'connection_deleted'], 'The connection is enabled.'),
  member_active: eligible(
    ['not_a_member', 'membership_revoked', 'membership_disabled'],
    'The node is an active member.',
  ),
  node_allowed: eligible(['not_allowed'], 'The node is among the allowed ones.'),
  role_effective: eligible(
    [
      'role_missing',
      'role_disabled',
      'capability_denied',
      'capability_missing',
      'role_not_yet_valid',
      'role_no_longer_valid',
    ],
    'The node has an effective role that fits the kind of the connection.',
  ),
  cluster_authoritative: ({ authorityState }, rule) =>
    verdict(
      rule,
      authorityState === 'authoritative',
      'cluster_not_authoritative',
      `The cluster is ${authorityState}: ${authorityState === 'authoritative' ? 'leases are given' : 'no new owner is'}.`,
    ),
  no_takeover_hold: held(
    'Takeovers are not held.',
    'Takeovers are held after a promotion or restore of the database, or after a mass lapse.',
    ({ takeoverHold, formerOwnerId, nodeId }) =>
      takeoverHold === null || (!takeoverHold.keepsFormerOwner && formerOwnerId === nodeId)
        ? null
        : takeoverHold.until,
  ),
  no_fence_hold: held(
    'No fence holds the connection.',
    'The connection was fenced and is held.',
    ({ fenceHeldUntil }) => fenceHeldUntil,
  ),
  not_reserved_for_another: held(
    'The connection is not reserved for another node.',
    'A handover reserves the connection for another node.',
    ({ reservation, nodeId }) =>
      reservation === null || reservation.nodeId === nodeId ? null : reservation.until,
  ),
  no_preferred_node: held(
    'No node that is well comes first.',
    'A preferred node that is well comes first for a while.',
    ({ othersComeFirstUntil }) => othersComeFirstUntil,
  ),
  token_above_seen: ({ tokenSeen, nextToken }, rule) =>
    verdict(
      rule,
      tokenSeen === null || nextToken > tokenSeen,
      'takeover_held',
      tokenSeen === null || nextToken > tokenSeen
        ? 'The next token is above all that the node has seen.'
        : 'The node has seen a token that is not below the next one.',
    ),
};

import { z } from 'zod';
import { Id, Instant, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { ACQUIRE_RULES } from './acquire-rules.js';
import { INELIGIBLE_REASONS } from './eligibility.js';
import type { Lease } from './lease.js';

const FencingToken = z
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .describe('authorityTerm * 2^32 + sequence: above every token of the connection before it.')
  .meta({ example: 4_294_967_297 });
const MAX_HOLD_SECONDS = 86_400;

export const LeaseView = z
  .object({
    id: Id,
    vpnConnectionId: Id,
    ownerNodeId: Id,
    status: z.enum(['active', 'released', 'expired', 'fenced']),
    fencingToken: FencingToken,
    acquiredAt: Instant,
    renewedAt: Instant,
    expiresAt: Instant.describe('At this instant it is over, whether or not anybody has written that down.'),
    ttlSeconds: z.int().meta({ example: 30 }),
    serverTime: Instant.describe(
      'When this was so. The lease lasts `expiresAt` - `serverTime` from the moment at which the request was sent, by the clock of the caller.',
    ),
    endedAt: Instant.nullable(),
    endReason: z
      .string()
      .nullable()
      .describe(
        '`released`, `expired`, the reason of a fence, or what the owner lost: see `owner_not_eligible`.',
      )
      .meta({ example: null }),
    releaseRequested: z
      .boolean()
      .describe('A handover waits for it: stop what runs under the lease, then release it.'),
  })
  .meta({ id: 'VpnLease' });
export type LeaseView = z.infer<typeof LeaseView>;

export const LeasePage = pageOf(LeaseView).meta({ id: 'VpnLeasePage' });
export const LeaseQuery = PageQuery;

export const AcquireLease = z.strictObject({ nodeId: Id }).meta({ id: 'AcquireVpnLease' });
export const HeldLease = z
  .strictObject({ nodeId: Id, fencingToken: FencingToken })
  .meta({ id: 'HeldVpnLease' });

/** What nodes send; members that this version does not know are ignored. */
export const AcquireOwnLease = z
  .object({
    tokenSeen: FencingToken.optional().describe(
      'The highest token that the node has ever seen of this connection: one that the service does not know of shows that its database has lost something.',
    ),
  })
  .meta({ id: 'AcquireOwnVpnLease' });
export const OwnLease = z.object({ fencingToken: FencingToken }).meta({ id: 'OwnVpnLease' });

export const FenceLease = z
  .strictObject({
    reason: Reason,
    fencingToken: FencingToken.optional().describe(
      'Only if this is still the active one, so that a late call hits nobody else.',
    ),
    holdSeconds: z
      .int()
      .min(0)
      .max(MAX_HOLD_SECONDS)
      .optional()
      .describe('For so long nobody may acquire; 0 ends what is held already.')
      .meta({ example: 60 }),
  })
  .meta({ id: 'FenceVpnLease' });

export const FencedConnection = z
  .object({
    lease: LeaseView.nullable().describe('The lease that ended hereby; null when none was active.'),
    nextTokenAbove: FencingToken.describe('Every token from now on is above this one.'),
    heldUntil: Instant.nullable().describe('Until when nobody may acquire.'),
    serverTime: Instant,
  })
  .meta({ id: 'FencedVpnConnection' });
export type FencedConnection = z.infer<typeof FencedConnection>;

export const HandOverLease = z
  .strictObject({
    toNodeId: Id.describe('Who alone may follow the holder. The holder itself: a handover is withdrawn.'),
    reserveSeconds: z
      .int()
      .min(5)
      .max(MAX_HOLD_SECONDS)
      .optional()
      .describe('How long the connection is kept for it. Default: two lifetimes of a lease, at least 60 s.')
      .meta({ example: 60 }),
  })
  .meta({ id: 'HandOverVpnLease' });

export const ReservedConnection = z
  .object({
    lease: LeaseView.nullable().describe(
      'The lease whose holder is asked to release it; null when it is free.',
    ),
    toNodeId: Id.nullable().describe('null: a handover was withdrawn.'),
    reservedUntil: Instant.nullable(),
    serverTime: Instant,
  })
  .meta({ id: 'ReservedVpnConnection' });
export type ReservedConnection = z.infer<typeof ReservedConnection>;

export const ExplainQuery = z.strictObject({ nodeId: Id.meta({ description: 'Who would acquire.' }) });

export const AcquireExplanation = z
  .object({
    nodeId: Id,
    mayAcquire: z.boolean(),
    holdsLease: z.boolean().describe('It has the lease; the rules say what would be without it.'),
    code: z
      .string()
      .nullable()
      .describe('How acquire would refuse; null when it would not.')
      .meta({ example: 'lease_held' }),
    rules: z
      .array(
        z.object({
          rule: z.enum(ACQUIRE_RULES),
          passed: z.boolean(),
          code: z.string().nullable().meta({ example: null }),
          detail: z.string(),
          until: Instant.nullable().describe('When the rule passes by the time alone, where that is known.'),
        }),
      )
      .describe('In the order in which they decide; the first that does not pass is the answer.'),
    reasons: z.array(z.enum(INELIGIBLE_REASONS)),
    serverTime: Instant,
  })
  .meta({ id: 'VpnAcquireExplanation' });
export type AcquireExplanation = z.infer<typeof AcquireExplanation>;

/** What a handover asks of the holder. */
export interface Reserved {
  reservedNodeId: string | null;
  reservedUntil: Date | null;
}

/** The lease as callers see it at `now`. */
export function leaseView(
  lease: Lease,
  now: Date,
  { reservedNodeId, reservedUntil }: Reserved = { reservedNodeId: null, reservedUntil: null },
): LeaseView {
  const isReserved = reservedUntil !== null && now < reservedUntil && reservedNodeId !== lease.ownerNodeId;
  return {
    id: lease.id,
    vpnConnectionId: lease.connectionId,
    ownerNodeId: lease.ownerNodeId,
    status: lease.status,
    fencingToken: lease.fencingToken,
    acquiredAt: lease.acquiredAt.toISOString(),
    renewedAt: lease.renewedAt.toISOString(),
    expiresAt: lease.expiresAt.toISOString(),
    ttlSeconds: lease.ttlSeconds,
    serverTime: now.toISOString(),
    endedAt: lease.endedAt?.toISOString() ?? null,
    endReason: lease.endReason,
    releaseRequested: lease.status === 'active' && isReserved,
  };
}

import { z } from 'zod';
import { Id, Instant, NodeName } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { INELIGIBLE_REASONS } from './eligibility.js';
import { LeaseView } from './leases.schema.js';
import { RoutePolicyView } from './vpn-connections.schema.js';

/** What a node can say of a connection that it may hold. */
export const ASSIGNMENT_STATUSES = [
  'not_started',
  'assigned',
  'lease_required',
  'blocked',
  'unknown',
] as const;
export type AssignmentStatus = (typeof ASSIGNMENT_STATUSES)[number];

const Status = z.enum(ASSIGNMENT_STATUSES).describe('As the node last reported; `unknown` before that.');
const Reasons = z.array(z.enum(INELIGIBLE_REASONS)).describe('Why it may not hold the connection now.');
const Message = z
  .string()
  .min(1)
  .max(500)
  .regex(/^[^\p{Cc}]*$/u, 'No control characters.')
  .meta({ example: 'The interface is missing.' });

/** Members that this version does not know are ignored and counted. */
export const ReportAssignment = z
  .object({ status: z.enum(ASSIGNMENT_STATUSES), message: Message.nullish() })
  .meta({ id: 'ReportVpnAssignment' });

export const AssignmentReport = z
  .object({
    connectionId: Id,
    status: Status,
    message: z.string().nullable().meta({ example: null }),
    reportedAt: Instant,
  })
  .meta({ id: 'VpnAssignmentReport' });
export type AssignmentReport = z.infer<typeof AssignmentReport>;

/** A connection as a node sees it that may hold it. */
export const OwnAssignment = z
  .object({
    connectionId: Id,
    name: z.string().meta({ example: 'Exit 1' }),
    kind: z.enum(['exit', 'connector']),
    desiredState: z.enum(['enabled', 'disabled']),
    hasCredentialRef: z.boolean(),
    leaseTtlSeconds: z.int().meta({ example: 30 }),
    routePolicies: z.array(RoutePolicyView),
    lease: LeaseView.nullable().describe(
      'The own active lease; null: the node does not hold the connection.',
    ),
    heldUntil: Instant.nullable().describe(
      "When another node's lease ends unless it is renewed; null: no other node has one.",
    ),
    eligible: z.boolean(),
    reasons: Reasons,
    status: Status,
  })
  .meta({ id: 'OwnVpnAssignment' });
export type OwnAssignment = z.infer<typeof OwnAssignment>;

export const OwnAssignmentPage = pageOf(OwnAssignment)
  .extend({ serverTime: Instant })
  .meta({ id: 'OwnVpnAssignmentPage' });
export const OwnAssignmentQuery = PageQuery;

/** A node that is allowed to hold a connection. */
export const AssignmentView = z
  .object({
    nodeId: Id,
    name: NodeName.nullable().describe('Null for a node that is no member any more.'),
    preference: z.int().nullable().describe('From 0, the most preferred; null: not among the preferred.'),
    eligible: z.boolean(),
    reasons: Reasons,
    holdsLease: z.boolean(),
    status: Status,
    message: z.string().nullable().meta({ example: null }),
    reportedAt: Instant.nullable(),
  })
  .meta({ id: 'VpnAssignment' });
export type AssignmentView = z.infer<typeof AssignmentView>;

export const AssignmentPage = pageOf(AssignmentView).meta({ id: 'VpnAssignmentPage' });
export const AssignmentQuery = PageQuery;

import { z } from 'zod';
import { AddressRangeText, DisplayName, Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { type RoutePolicy, routeFaults } from './route-policy.js';

/** Nodes and policies of one connection at the most: what still fits into one snapshot and one answer. */
const MAX_NODES = 1000;
const MAX_ROUTES = 256;

const Kind = z.enum(['exit', 'connector']).describe('Which role holds it: `vpn-exit` or `vpn-connector`.');
const DesiredState = z.enum(['enabled', 'disabled']);
const CredentialRef = z
  .string()
  .min(1)
  .max(512)
  .regex(/^\P{C}+$/u, 'No control characters.')
  .meta({
    description:
      'Where the credentials are kept. Write-only: no answer has it; `hasCredentialRef` says whether it is set.',
    example: 'vault:vpn/exit-1',
  });
const LeaseTtl = z
  .int()
  .min(5)
  .max(3600)
  .describe('How long a lease holds without a renewal.')
  .meta({ example: 30 });
const NodeIds = z.array(Id).max(MAX_NODES);

const RoutePolicyInput = z.strictObject({
  cidr: AddressRangeText,
  action: z.enum(['allow', 'deny']),
  priority: z
    .int()
    .min(0)
    .max(65_535)
    .describe('Lower ones come first; at one priority the longest prefix decides.')
    .meta({ example: 100 }),
});
const RoutePolicies = z
  .array(RoutePolicyInput)
  .max(MAX_ROUTES)
  .superRefine((policies, context) => {
    for (const { position, message } of routeFaults(policies as RoutePolicy[]))
      context.addIssue({ code: 'custom', path: [position, 'cidr'], message });
  });

const FailbackPolicyView = z.union([
  z.object({ mode: z.literal('never') }),
  z.object({
    mode: z.literal('after_stable_seconds'),
    seconds: z.int().min(1).max(604_800).meta({ example: 300 }),
  }),
]);
/** Checked as a whole once it is merged: a patch may name a part. */
export const FailbackPolicyInput = z
  .strictObject({
    mode: z.enum(['never', 'after_stable_seconds']),
    seconds: z.int().min(1).max(604_800).nullish(),
  })
  .refine(({ mode, seconds }) => mode === 'never' || seconds != null, {
    path: ['seconds'],
    error: 'after_stable_seconds needs them.',
  })
  .meta({
    description:
      'When the lease goes back to a node that is preferred over its owner: never, or once that node has been well for so long.',
    example: { mode: 'after_stable_seconds', seconds: 300 },
  });

const settings = {
  name: DisplayName,
  organizationId: Id.nullable()
    .optional()
    .describe(
      'The organization that it serves; absent: the platform. A role for one organization fits only that.',
    ),
  kind: Kind,
  desiredState: DesiredState,
  credentialRef: CredentialRef.nullable().optional(),
  leaseTtlSeconds: LeaseTtl,
  allowedNodeIds: NodeIds.describe('Members that may hold it. None named: none allowed.'),
  preferredNodeIds: NodeIds.describe('The most preferred first. Each must be allowed.'),
  failbackPolicy: FailbackPolicyInput,
  routePolicies: RoutePolicies,
};

export const CreateVpnConnection = z
  .strictObject({
    ...settings,
    leaseTtlSeconds: LeaseTtl.default(30),
    allowedNodeIds: settings.allowedNodeIds.optional(),
    preferredNodeIds: settings.preferredNodeIds.optional(),
    failbackPolicy: FailbackPolicyInput.optional(),
    routePolicies: RoutePolicies.optional(),
  })
  .meta({ id: 'CreateVpnConnection' });

export const PatchVpnConnection = z
  .strictObject({
    ...settings,
    failbackPolicy: z
      .strictObject({
        mode: z.enum(['never', 'after_stable_seconds']).optional(),
        seconds: z.int().min(1).max(604_800).nullish(),
      })
      .meta({ description: 'Merged into the policy.', example: { mode: 'never' } }),
  })
  .partial()
  .meta({ id: 'PatchVpnConnection' });

export const PutAllowedNodes = z
  .strictObject({ nodeIds: NodeIds.describe('All that may hold it. None named: none allowed.') })
  .meta({ id: 'PutVpnAllowedNodes' });

export const PutRoutePolicies = z
  .strictObject({ routePolicies: RoutePolicies })
  .meta({ id: 'PutVpnRoutePolicies' });

export const RoutePolicyView = z
  .object({
    cidr: z.string().meta({ example: '10.0.0.0/8' }),
    action: z.enum(['allow', 'deny']),
    priority: z.int().meta({ example: 100 }),
  })
  .meta({ id: 'VpnRoutePolicy' });

export const VpnConnectionView = z
  .object({
    id: Id,
    clusterId: Id,
    organizationId: Id.nullable(),
    name: z.string().meta({ example: 'Exit 1' }),
    kind: Kind,
    desiredState: DesiredState,
    hasCredentialRef: z.boolean(),
    leaseTtlSeconds: LeaseTtl,
    allowedNodeIds: z.array(Id),
    preferredNodeIds: z.array(Id),
    failbackPolicy: FailbackPolicyView,
    routePolicies: z.array(RoutePolicyView),
    warnings: z
      .array(
        z.object({
          code: z.enum(['no_allowed_nodes', 'routes_overlap']),
          pointer: z.string().meta({ example: '#/routePolicies/1' }),
          message: z.string(),
        }),
      )
      .describe('What is allowed and may not be meant.')
      .meta({ example: [] }),
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: 'VpnConnection' });
export type VpnConnectionView = z.infer<typeof VpnConnectionView>;

export const VpnConnectionQuery = PageQuery.extend({
  kind: Kind.optional().meta({ description: 'Only those of this kind.' }),
  desiredState: DesiredState.optional().meta({ description: 'Only those of this desired state.' }),
  organizationId: Id.optional().meta({ description: 'Only those of this organization.' }),
  nodeId: Id.optional().meta({ description: 'Only those that this node may hold.' }),
});

export const VpnConnectionPage = pageOf(VpnConnectionView).meta({ id: 'VpnConnectionPage' });

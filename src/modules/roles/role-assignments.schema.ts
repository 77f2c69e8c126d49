import { z } from 'zod';
import { ActorRef, Id, Instant, InstantInput, Metadata, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { Taking } from '../nodes/nodes.schema.js';
import { INEFFECTIVE_REASONS } from './role-assignment.js';
import { ROLE_CATALOGUE, ROLE_NAMES } from './role-catalogue.js';
import { CONDITION_NAMES } from './role-condition.js';
import { policyFaults } from './role-policy.js';
import type { RequestedTerms } from './role-terms.js';

export const RoleNameField = z
  .enum(ROLE_NAMES)
  .meta({ id: 'RoleName', description: 'A role of the catalogue.', example: 'vpn-exit' });

const Status = z.enum(['active', 'disabled']);
const Policy = Metadata.meta({
  description:
    "What the role's service is told, up to 16 KiB: as `policySchema` of the role catalogue has it.",
  example: { maxSessions: 50 },
});
/** Instants that Postgres, JavaScript and RFC 3339 can all say. Also asked of texts that are no instant at all. */
const Bound = InstantInput.refine((text) => {
  const year = new Date(text).getUTCFullYear();
  return year >= 2000 && year < 2100;
}, 'Must lie in this century.');

/** What is given, whichever nodes it is given to. */
export const roleTermsMembers = {
  role: RoleNameField,
  organizationId: Id.nullable()
    .optional()
    .describe('For one organization alone; only where the role allows it.'),
  policy: Policy.optional(),
  validFrom: Bound.nullable().optional().describe('From this instant on; at once when absent.'),
  validUntil: Bound.nullable().optional().describe('Not from this instant on; without end when absent.'),
};

/** What each member cannot tell by itself. */
export function checkTerms(
  { role, organizationId, policy, validFrom, validUntil }: RequestedTerms,
  context: z.RefinementCtx,
): void {
  for (const { path, message } of policyFaults(role, policy ?? {}))
    context.addIssue({ code: 'custom', path: ['policy', ...path], message });
  if (organizationId != null && ROLE_CATALOGUE[role].organizationScopable === false) {
    context.addIssue({
      code: 'custom',
      path: ['organizationId'],
      message: `${role} is never for one organization.`,
    });
  }
  if (validFrom != null && validUntil != null && !(new Date(validFrom) < new Date(validUntil))) {
    context.addIssue({ code: 'custom', path: ['validUntil'], message: 'Must be after validFrom.' });
  }
}

export const CreateRoleAssignment = z
  .strictObject({ nodeId: Id, ...roleTermsMembers })
  .superRefine(checkTerms)
  .meta({ id: 'CreateRoleAssignment' });

export const RoleAssignmentView = z
  .object({
    id: Id,
    clusterId: Id,
    nodeId: Id,
    role: RoleNameField,
    organizationId: Id.nullable(),
    status: Status,
    effective: z.boolean().describe('Whether the node may act in the role now.'),
    ineffectiveReason: z.enum(INEFFECTIVE_REASONS).nullable().describe('Why not; null when it is effective.'),
    policy: Policy,
    validFrom: Instant.nullable(),
    validUntil: Instant.nullable(),
    assignedAt: Instant,
    assignedBy: ActorRef,
  })
  .meta({ id: 'RoleAssignment' });
export type RoleAssignmentView = z.infer<typeof RoleAssignmentView>;

export const RoleExplanation = z
  .object({
    assignmentId: Id,
    nodeId: Id,
    role: RoleNameField,
    effective: z.boolean().describe('Whether all conditions hold.'),
    conditions: z.array(
      z.object({
        name: z.enum(CONDITION_NAMES),
        holds: z.boolean(),
        detail: z.string().meta({ example: 'The membership is active.' }),
        reason: z
          .enum(INEFFECTIVE_REASONS)
          .nullable()
          .describe('The `ineffectiveReason` that it is; null when it holds.'),
      }),
    ),
  })
  .meta({ id: 'RoleExplanation' });
export type RoleExplanation = z.infer<typeof RoleExplanation>;

export const DisableRoleAssignment = Taking.meta({ id: 'DisableRoleAssignment' });

/** The same for DELETE, which has no body. */
export const DeleteRoleAssignment = z
  .strictObject({
    force: z
      .enum(['true', 'false'])
      .default('false')
      .transform((text) => text === 'true')
      .meta({
        description:
          'Go on although the role falls below its wanted minimum; needs a reason, and is audited.',
        jsonSchema: { type: 'boolean', default: false },
      }),
    reason: Reason.optional().meta({ description: 'Why; stands in the audit log.' }),
  })
  .refine(({ force, reason }) => !force || reason !== undefined, {
    path: ['reason'],
    error: 'Must be given with force.',
  });

export const RoleAssignmentQuery = PageQuery.extend({
  nodeId: Id.optional().meta({ description: 'Only those of this node.' }),
  role: RoleNameField.optional().meta({ description: 'Only those of this role.' }),
  organizationId: Id.optional().meta({ description: 'Only those for this organization.' }),
  status: Status.optional().meta({ description: 'Only those of this status.' }),
});

export const RoleAssignmentPage = pageOf(RoleAssignmentView).meta({ id: 'RoleAssignmentPage' });

export const RoleView = z
  .object({
    name: RoleNameField,
    description: z.string().meta({ example: 'Lets traffic of the fabric out to other networks.' }),
    requiredCapabilities: z.array(z.string()).meta({ example: ['can_run_vpn_exit'] }),
    serviceTypes: z.array(z.string()).meta({ example: ['vpn-exit'] }),
    organizationScopable: z.boolean(),
    policySchema: z
      .record(z.string(), z.json())
      .describe("JSON Schema (2020-12) of an assignment's `policy`.")
      .meta({ example: ROLE_CATALOGUE['vpn-exit'].policySchema }),
  })
  .meta({ id: 'Role' });
export type RoleView = z.infer<typeof RoleView>;

export const RolePage = pageOf(RoleView).meta({ id: 'RolePage' });

import { z } from 'zod';
import { ActorRef, DisplayName, Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { RoleNameField } from '../roles/role-assignments.schema.js';
import { ROLE_CATALOGUE } from '../roles/role-catalogue.js';
import { JOIN_TOKEN_STATUSES } from './join-token.js';

/** A week: a token that lives longer is a credential lying about. */
const LONGEST_SECONDS = 604_800;
const AUTO_APPROVE_LONGEST_SECONDS = 3_600;

const scopeMembers = {
  roles: z
    .array(RoleNameField)
    .max(32)
    .optional()
    .describe('The only roles that may be asked for and given.')
    .meta({ example: ['vpn-exit'] }),
  groupId: Id.optional().describe('The node group that the node joins into.'),
  nodeNamePattern: z
    .string()
    .regex(/^[A-Za-z0-9._*?-]{1,63}$/, 'A pattern is 1 to 63 of A-Z a-z 0-9 . _ - * ?')
    .optional()
    .meta({
      description: 'What the name must look like: `*` any text, `?` one character.',
      example: 'edge-*',
    }),
  organizationId: Id.optional().describe('Roles that the approval gives are for this organization alone.'),
};

export const CreateJoinToken = z
  .strictObject({
    description: DisplayName.nullable().optional().meta({ example: 'Edge hosts, rack 7' }),
    expiresInSeconds: z
      .int()
      .min(60)
      .max(LONGEST_SECONDS)
      .default(3_600)
      .describe('Lifetime; at most an hour with autoApprove.'),
    maxUses: z.int().min(1).max(10_000).default(1).describe('How many keys may join with it.'),
    scope: z.strictObject(scopeMembers).default({}),
    autoApprove: z
      .boolean()
      .default(false)
      .describe('Admit without a review. High-risk; needs a permission of its own and a scope with roles.'),
  })
  .superRefine(({ autoApprove, expiresInSeconds, scope }, context) => {
    const refuse = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (new Set(scope.roles).size !== (scope.roles?.length ?? 0))
      refuse(['scope', 'roles'], 'Name each role once.');
    const unscopable = (scope.roles ?? []).filter((role) => !ROLE_CATALOGUE[role].organizationScopable);
    if (scope.organizationId !== undefined && unscopable.length > 0) {
      refuse(['scope', 'organizationId'], `Never for one organization: ${unscopable.join(', ')}.`);
    }
    if (!autoApprove) return;
    if ((scope.roles?.length ?? 0) === 0) refuse(['scope', 'roles'], 'autoApprove needs a scope with roles.');
    if (expiresInSeconds > AUTO_APPROVE_LONGEST_SECONDS) {
      refuse(['expiresInSeconds'], `At most ${AUTO_APPROVE_LONGEST_SECONDS} with autoApprove.`);
    }
  })
  .meta({ id: 'CreateJoinToken' });

export const JoinTokenView = z
  .object({
    id: Id,
    clusterId: Id,
    description: z.string().nullable().meta({ example: 'Edge hosts, rack 7' }),
    status: z.enum(JOIN_TOKEN_STATUSES),
    scope: z.object(scopeMembers),
    autoApprove: z.boolean(),
    maxUses: z.int().meta({ example: 1 }),
    usedCount: z.int().meta({ example: 0 }),
    createdBy: ActorRef,
    createdAt: Instant,
    expiresAt: Instant,
    revokedAt: Instant.nullable(),
  })
  .meta({ id: 'JoinToken' });
export type JoinTokenView = z.infer<typeof JoinTokenView>;

export const IssuedJoinToken = JoinTokenView.extend({
  token: z
    .string()
    .describe('Shown once; only its keyed hash is stored.')
    .meta({ example: 'fjt_<id>_<secret>' }),
}).meta({ id: 'IssuedJoinToken' });
export type IssuedJoinToken = z.infer<typeof IssuedJoinToken>;

export const JoinTokenQuery = PageQuery.extend({
  status: z.enum(JOIN_TOKEN_STATUSES).optional().meta({ description: 'Only tokens of this status.' }),
});

export const JoinTokenPage = pageOf(JoinTokenView).meta({ id: 'JoinTokenPage' });

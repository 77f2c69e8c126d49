import { z } from 'zod';
import { ALL_PERMISSIONS, PRINCIPAL_ROLES } from '../../common/auth/permissions.js';
import { twoPartEtag } from '../../common/http/etag.js';
import { ActorRef, AddressRangeText, DisplayName, Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { fits, ORGANIZATION_ROLES } from './granting.js';

/** Ten years: whoever wants longer wants no end, and says so by leaving it out. */
const LONGEST_SECONDS = 315_360_000;

const Role = z.enum(PRINCIPAL_ROLES).meta({ example: 'platform-operator' });
const PermissionName = z
  .enum(ALL_PERMISSIONS as [(typeof ALL_PERMISSIONS)[number]])
  .meta({ example: 'clusters.read' });

export const CreateApiToken = z
  .strictObject({
    name: DisplayName,
    expiresInSeconds: z.int().min(1).max(LONGEST_SECONDS).nullish().meta({
      description: 'Lifetime; without it the token does not end by itself. `highRisk` needs one.',
      example: 86_400,
    }),
    role: Role.nullish().describe('A role, a list of permissions, or both together.'),
    permissions: z.array(PermissionName).max(200).optional(),
    clusterId: Id.nullish().describe(
      'The only cluster over which it holds them; absent: the whole platform.',
    ),
    organizationId: Id.nullish().describe('Organizations come later: any id is one of no organization.'),
    highRisk: z
      .boolean()
      .default(false)
      .describe('Made for high-risk operations. Making such a token is one.'),
    allowedAddresses: z
      .array(AddressRangeText)
      .max(64)
      .optional()
      .describe('Ranges from which it may be used; absent or empty: from anywhere.'),
  })
  .superRefine(
    ({ role, permissions = [], clusterId, organizationId, highRisk, expiresInSeconds }, context) => {
      const fault = (path: PropertyKey[], message: string) =>
        context.addIssue({ code: 'custom', path, message });
      if ((role ?? null) === null && permissions.length === 0)
        fault(['role'], 'Give a role or permissions: a token without any can do nothing.');
      if (highRisk && (expiresInSeconds ?? null) === null)
        fault(['expiresInSeconds'], 'A token for high-risk work needs an expiry.');
      if ((organizationId ?? null) !== null) fault(['organizationId'], 'There is no such organization.');
      else if (role && ORGANIZATION_ROLES.includes(role))
        fault(['role'], 'This role is held within an organization only.');
      permissions.forEach((name, index) => {
        if (!fits(name, clusterId ?? null))
          fault(['permissions', index], 'This permission is held over the whole platform or not at all.');
      });
    },
  )
  .meta({ id: 'CreateApiToken' });

export const ApiTokenView = z
  .object({
    id: Id,
    name: z.string().meta({ example: 'ci-deploy' }),
    status: z.enum(['active', 'expired', 'revoked']),
    role: Role.nullable(),
    permissions: z
      .array(z.string())
      .meta({ description: 'Held beside those of the role.', example: ['audit.read'] }),
    clusterId: Id.nullable().describe('null: the whole platform.'),
    organizationId: Id.nullable(),
    highRisk: z.boolean(),
    allowedAddresses: z
      .array(z.string())
      .meta({ description: 'Empty: from anywhere.', example: ['192.0.2.0/24'] }),
    createdBy: ActorRef,
    createdAt: Instant,
    expiresAt: Instant.nullable().describe('null: it does not end by itself.'),
    lastUsedAt: Instant.nullable().describe('To the minute.'),
    revokedAt: Instant.nullable(),
  })
  .meta({ id: 'ApiToken' });
export type ApiTokenView = z.infer<typeof ApiTokenView>;

export const IssuedApiToken = ApiTokenView.extend({
  token: z.string().meta({
    description: 'Shown once; only its keyed hash is kept.',
    example: 'fab_0nRWXqkXJ7ZKjq1v3W0cGz_4fJk2cH7m0Q8sYx1bVdT9aLwZpRnE6uCiKgMoXy3B5D0hA1b2C3',
  }),
}).meta({ id: 'IssuedApiToken' });

export const ApiTokenQuery = PageQuery.extend({
  status: z
    .enum(['active', 'expired', 'revoked'])
    .optional()
    .meta({ description: 'Only tokens of this status.' }),
  clusterId: z
    .uuid()
    .optional()
    .meta({ description: 'Only tokens that hold something over this cluster alone.' }),
  createdById: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: 'Only tokens made by this principal.' }),
});

export const ApiTokenPage = pageOf(ApiTokenView).meta({ id: 'ApiTokenPage' });

/** What use and time change of a token stands in the second part, so that neither stops an `If-Match`. */
export function apiTokenEtag({ status, lastUsedAt, ...settings }: ApiTokenView): string {
  return twoPartEtag(settings, { status, lastUsedAt });
}

import { z } from 'zod';
import { Id } from '../../common/http/fields.js';
import { pageOf } from '../../common/http/paging.js';

const PermissionNames = z.array(z.string()).meta({ example: ['clusters.create', 'clusters.read'] });

export const Me = z
  .object({
    principal: z.object({
      type: z.string().meta({ example: 'bootstrap' }),
      id: z.string().nullable().meta({ example: 'bootstrap' }),
      displayName: z.string().meta({ example: 'Bootstrap token' }),
    }),
    bootstrap: z.boolean().describe('Whether this is the bootstrap token.'),
    highRisk: z.boolean().describe('Whether the credential was made for high-risk operations.'),
    roles: z.array(z.string()).meta({ description: 'Over any scope.', example: ['platform-owner'] }),
    permissions: PermissionNames.describe('Over any scope; `grants` tells over which.'),
    grants: z.array(
      z.object({
        role: z.string().nullable().meta({ example: 'platform-owner' }),
        clusterId: Id.nullable().describe('null: the whole platform.'),
        permissions: PermissionNames,
      }),
    ),
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof Me>;

export const MyPermissionsQuery = z.strictObject({
  clusterId: z
    .uuid()
    .optional()
    .meta({ description: 'Over this cluster; without it, over the whole platform.' }),
});

export const MyPermissions = z
  .object({ clusterId: Id.nullable().describe('null: the whole platform.'), permissions: PermissionNames })
  .meta({ id: 'MyPermissions' });
export type MyPermissions = z.infer<typeof MyPermissions>;

export const PermissionView = z
  .object({
    name: z.string().meta({ example: 'clusters.create' }),
    description: z.string().meta({ example: 'Create a cluster' }),
    scope: z.enum(['platform', 'cluster']).describe('`platform`: over the whole platform or not at all.'),
    roles: z
      .array(z.string())
      .meta({ description: 'The roles that hold it.', example: ['platform-owner', 'platform-admin'] }),
  })
  .meta({ id: 'Permission' });

export const PermissionPage = pageOf(PermissionView).meta({ id: 'PermissionPage' });

import { Controller, Get, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CLUSTER_RESOLVER, type ClusterResolver } from '../../common/auth/cluster-resolver.js';
import { ALL_PERMISSIONS, PERMISSIONS } from '../../common/auth/permissions.js';
import { maySee, type Principal, permissionsOver } from '../../common/auth/principal.js';
import { CurrentPrincipal, ValidQuery } from '../../common/auth/request-principal.js';
import { notFound } from '../../common/errors/domain-error.js';
import { Route } from '../../common/http/operation.js';
import { Me, MyPermissions, MyPermissionsQuery, PermissionPage } from './me.schema.js';

/** The catalogue never changes while the service runs. */
const CATALOGUE = [...ALL_PERMISSIONS].sort().map((name) => {
  const { description, scope, roles } = PERMISSIONS[name];
  return { name, description, scope, roles: [...roles] };
});

@ApiTags('Access')
@Controller('api/v1')
export class MeController {
  constructor(@Inject(CLUSTER_RESOLVER) private readonly clusters: ClusterResolver) {}

  @Get('me')
  @Route({
    id: 'getMe',
    summary: 'Who is calling, and what they may do',
    access: 'authenticated',
    response: Me,
  })
  me(@CurrentPrincipal() { actor, bootstrap, highRisk, grants }: Principal): Me {
    const { type, id, displayName } = actor;
    return {
      principal: { type, id, displayName },
      bootstrap,
      highRisk,
      roles: [...new Set(grants.flatMap(({ role }) => role ?? []))],
      permissions: [...new Set(grants.flatMap(({ permissions }) => [...permissions]))].sort(),
      grants: grants.map(({ role, clusterId, permissions }) => ({
        role,
        clusterId,
        permissions: [...permissions].sort(),
      })),
    };
  }

  @Get('me/permissions')
  @Route({
    id: 'getMyPermissions',
    summary: 'What the caller may do over one cluster, or over the whole platform',
    access: 'authenticated',
    query: MyPermissionsQuery,
    response: MyPermissions,
    problems: ['not_found'],
  })
  async permissions(
    @CurrentPrincipal() principal: Principal,
    @ValidQuery() { clusterId = null }: { clusterId?: string | null },
  ): Promise<MyPermissions> {
    if (
      clusterId !== null &&
      ((await this.clusters.resolve(clusterId)) === null || !maySee(principal, clusterId))
    ) {
      throw notFound('not_found', 'There is no such cluster.');
    }
    return { clusterId, permissions: permissionsOver(principal, clusterId) };
  }

  @Get('permissions')
  @Route({
    id: 'listPermissions',
    summary: 'The catalogue of permissions with the roles that hold each',
    access: 'authenticated',
    response: PermissionPage,
  })
  catalogue(): z.infer<typeof PermissionPage> {
    return { items: CATALOGUE, nextCursor: null };
  }
}

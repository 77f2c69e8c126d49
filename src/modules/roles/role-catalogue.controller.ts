import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import { type Page, PageQuery, Paging } from '../../common/http/paging.js';
import { RolePage, type RoleView } from './role-assignments.schema.js';
import { ROLE_CATALOGUE, ROLE_NAMES, type RoleName } from './role-catalogue.js';

@ApiTags('Roles')
@Controller('api/v1/role-catalog')
export class RoleCatalogueController {
  constructor(private readonly paging: Paging) {}

  @Get()
  @Route({
    id: 'listRoleCatalog',
    summary: 'List the roles that nodes can be given, by name',
    access: { permission: 'role_assignments.read' },
    query: PageQuery,
    response: RolePage,
  })
  list(@ValidQuery() { limit, cursor }: z.infer<typeof PageQuery>): Page<RoleView> {
    const list = { kind: 'role_catalog', filters: null, limit, cursor };
    const after = this.paging.after(list)?.[0];
    const rows = ROLE_NAMES.filter((name) => after === undefined || name > String(after)).slice(0, limit + 1);
    return this.paging.page(list, rows, (name) => [name], view);
  }
}

function view(name: RoleName): RoleView {
  const { description, requiredCapabilities, serviceTypes, organizationScopable, policySchema } =
    ROLE_CATALOGUE[name];
  return {
    name,
    description,
    requiredCapabilities: [...requiredCapabilities],
    serviceTypes: [...serviceTypes],
    organizationScopable,
    policySchema: policySchema as RoleView['policySchema'],
  };
}

import { z } from 'zod';
import { twoPartEtag } from '../../common/http/etag.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { RoleNameField } from './role-assignments.schema.js';

/** As the table has it; clusters are built for this many nodes. */
const MAX_MINIMUM = 100_000;

const count = () => z.int().min(0).meta({ example: 2 });
const minimum = count()
  .max(MAX_MINIMUM)
  .describe('Nodes that are to be effective in the role; 0: none is wanted.');

export const RoleCoverageView = z
  .object({
    role: RoleNameField,
    minimum,
    assigned: count().describe('Unrevoked nodes that have the role and for which it is not disabled.'),
    effective: count().describe('Those of them that may act in it now.'),
    healthy: count().describe('Those of these that are `online`.'),
    gap: count().describe('How many nodes `effective` is short of `minimum`.').meta({ example: 0 }),
  })
  .meta({ id: 'RoleCoverage' });
export type RoleCoverageView = z.infer<typeof RoleCoverageView>;

export const RoleCoveragePage = pageOf(RoleCoverageView).meta({ id: 'RoleCoveragePage' });

export const RoleCoverageQuery = PageQuery;

export const PutRoleCoverage = z.strictObject({ minimum }).meta({ id: 'PutRoleCoverage' });

/** Nodes come and go without the minimum being another: `If-Match` looks at that alone. */
export function roleCoverageEtag({ role, minimum: wanted, ...observed }: RoleCoverageView): string {
  return twoPartEtag({ role, minimum: wanted }, observed);
}

import { z } from 'zod';
import { type Sql, sql } from '../../common/database/sql.js';
import { DomainError } from '../../common/errors/domain-error.js';
import { compileFilter } from '../../common/filter/compile-filter.js';
import { parseFilter } from '../../common/filter/parse-filter.js';
import { Id, Labels } from '../../common/http/fields.js';
import { groupSubtree, NODE_FILTER_FIELDS } from './nodes.sql.js';

/** Nodes that a selector can name one by one; their ids fit into a body. */
export const MAX_NAMED_NODES = 10_000;

/**
 * Which nodes of a cluster an action is for: every member that is not revoked and fulfils all that is said. Nothing said
 * selects all of them.
 */
export const NodeSelector = z
  .strictObject({
    groupId: Id.optional().describe('In this node group, or in one below it.'),
    labels: Labels.optional().describe('With all of these labels.'),
    roles: z
      .array(z.string().regex(/^[a-z][a-z-]{0,62}$/, 'Must be the name of a role.'))
      .min(1)
      .max(64)
      .optional()
      .meta({ description: 'With one of these roles, not disabled.', example: ['vpn-exit'] }),
    nodeIds: z.array(Id).min(1).max(MAX_NAMED_NODES).optional().describe('One of these.'),
    filter: z
      .string()
      .max(2_000)
      .superRefine((text, context) => {
        const fault = filterFault(text);
        if (fault !== null) context.addIssue({ code: 'custom', message: fault });
      })
      .optional()
      .meta({
        description: 'Filter expression, as in the list of nodes.',
        example: 'health = "online" AND labels.site = "msk"',
      }),
  })
  .meta({ id: 'NodeSelector', example: { labels: { site: 'msk' } } });
export type NodeSelector = z.infer<typeof NodeSelector>;

/** The selector as conditions over the tables of `nodeTables`. */
export function selectorConditions(clusterId: string, selector: NodeSelector): Sql[] {
  const { groupId, labels, roles, nodeIds, filter } = selector;
  const conditions = [sql`m.cluster_id = ${clusterId}::uuid`, sql`m.membership_status <> 'revoked'`];
  if (nodeIds !== undefined) conditions.push(sql`m.node_id = ANY(${nodeIds}::uuid[])`);
  if (groupId !== undefined) conditions.push(sql`m.group_id IN ${groupSubtree(clusterId, groupId)}`);
  if (labels !== undefined) conditions.push(sql`m.labels @> ${JSON.stringify(labels)}::jsonb`);
  if (roles !== undefined) conditions.push(sql`x.roles && ${roles}::text[]`);
  if (filter !== undefined) conditions.push(sql`(${compileFilter(parseFilter(filter), NODE_FILTER_FIELDS)})`);
  return conditions;
}

/** What is wrong with the filter; null when nothing is. In a body it is a member like any other. */
function filterFault(text: string): string | null {
  try {
    compileFilter(parseFilter(text), NODE_FILTER_FIELDS);
    return null;
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return error.details.errors?.[0]?.message ?? error.message;
  }
}

import { Injectable } from '@nestjs/common';
import { join, sql } from '../../common/database/sql.js';
import { invalid } from '../../common/errors/domain-error.js';
import { jsonPointer } from '../../common/json/json-pointer.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from './memberships.read-model.js';
import { NodeFacets } from './node-facets.js';
import { type NodeSelector, selectorConditions } from './node-selector.js';
import { nodeTables } from './nodes.sql.js';

/** The nodes that a selector selects, as they are at this instant. */
@Injectable()
export class NodeSelections {
  constructor(
    private readonly facets: NodeFacets,
    private readonly members: MembershipsReadModel,
  ) {}

  /**
   * Ids of the selected members, in the order in which members are locked.
   * @param member of the body in which the selector stands
   * @throws invalid `group_not_found`, `selection_too_large` beyond `limit`
   */
  async select(
    tx: ReadTx,
    clusterId: string,
    selector: NodeSelector,
    { limit, member }: { limit: number; member: string },
  ): Promise<string[]> {
    const { groupId } = selector;
    if (groupId !== undefined && !(await this.members.hasGroup(tx, clusterId, groupId))) {
      const errors = [
        { pointer: jsonPointer([member, 'groupId']), message: 'No such group in this cluster.' },
      ];
      throw invalid('group_not_found', 'The cluster has no such node group.', { errors });
    }
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT m.node_id AS "nodeId" FROM ${nodeTables(this.facets)}
       WHERE ${join(selectorConditions(clusterId, selector), ' AND ')} ORDER BY m.node_id LIMIT ${limit + 1}`);
    if (rows.length <= limit) return rows.map(({ nodeId }) => nodeId);
    const errors = [{ pointer: jsonPointer([member]), message: `Selects more than ${limit} nodes.` }];
    throw invalid('selection_too_large', `One call takes at most ${limit} nodes; divide them.`, { errors });
  }
}

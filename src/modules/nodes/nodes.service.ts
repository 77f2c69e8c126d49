import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { type NodeRow, nodeView } from './node-view.js';
import { NodesReadModel } from './nodes.read-model.js';
import type { NodeQuery, NodeView } from './nodes.schema.js';

/** Reads the nodes of a cluster. */
@Injectable()
export class NodesService {
  constructor(
    private readonly transactor: Transactor,
    private readonly nodes: NodesReadModel,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found */
  get(clusterId: string, nodeId: string): Promise<NodeView> {
    return this.transactor.read((tx) => this.nodes.get(tx, clusterId, nodeId));
  }

  /** Newest members first. */
  list(
    clusterId: string,
    { limit, cursor, ...selection }: z.infer<typeof NodeQuery>,
  ): Promise<Page<NodeView>> {
    const list = { kind: 'nodes', filters: { clusterId, ...selection }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.nodes.list(tx, clusterId, selection, this.paging.after(list), limit);
      return this.paging.page(
        list,
        rows,
        (row: NodeRow) => [row.joinedAt.toISOString(), row.nodeId],
        nodeView,
      );
    });
  }
}

import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { AuditReadModel } from '../audit/audit.read-model.js';
import { explain } from './snapshot-explanation.js';
import { SnapshotRenderer } from './snapshot-renderer.js';
import type { SnapshotExplanation } from './snapshots.schema.js';

/** Says of each item in a node's present snapshot which event of the audit log made it what it is. */
@Injectable()
export class SnapshotExplainer {
  constructor(
    private readonly transactor: Transactor,
    private readonly renderer: SnapshotRenderer,
    private readonly sources: SnapshotSources,
    private readonly audit: AuditReadModel,
  ) {}

  /** @throws not_found for a node that is no member, or a revoked one */
  explain(clusterId: string, nodeId: string): Promise<SnapshotExplanation> {
    return this.transactor.read(async (tx) => {
      const rendered = (await this.renderer.render(tx, clusterId, [nodeId])).get(nodeId);
      if (rendered === undefined) throw notFound('not_found', 'The node has no snapshot.');
      const { generation } = rendered;
      const content = { ...rendered.content, ...rendered.shared.content };
      const subject = new SnapshotSubject(clusterId, nodeId, content);
      const items = await this.sources.itemsOf(tx, subject);
      const causes = items.map((item) => item.causes);
      const events = await this.audit.latest(tx, clusterId, causes);
      const caused = items.map(({ pointer, broughtBy }, index) => ({
        pointer,
        broughtBy,
        event: events[index] ?? null,
      }));
      return { generation, items: explain(caused, Object.keys(content)) };
    });
  }
}

import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { UpdatesReadModel } from './updates.read-model.js';

/** Why a node's snapshot tells it of an update: it was offered, or granted, by its rollout. */
@Injectable()
export class RolloutsSnapshotSource extends SnapshotSource {
  constructor(
    sources: SnapshotSources,
    private readonly updates: UpdatesReadModel,
  ) {
    super(sources);
  }

  async itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const { clusterId, nodeId } = subject;
    const known = (await this.updates.forNodes(tx, clusterId, [nodeId])).get(nodeId) ?? [];
    const told = subject.member<readonly { assignmentId: string }[]>('updates');
    return told.flatMap(({ assignmentId }, index) =>
      known
        .filter((update) => update.assignmentId === assignmentId)
        .map(({ rolloutId }) => ({
          pointer: `/updates/${index}`,
          causes: [
            {
              resource: { type: 'rollout', id: rolloutId },
              actions: ['rollout.nodes_moved' as const],
              after: { nodeIds: [nodeId] },
            },
          ],
        })),
    );
  }
}

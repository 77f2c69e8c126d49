import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';

/** Why all snapshots of a cluster hold what they have in common: as it was made, or as its policy was changed. */
@Injectable()
export class ClusterSnapshotSource extends SnapshotSource {
  async itemsOf(_tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const { clusterId: id } = subject;
    const made = { resource: { type: 'cluster', id }, actions: ['cluster.created'] } as const;
    const degradedGraceSeconds = subject.member<number>('degradedGraceSeconds');
    const { snapshotKeys } = subject.member<{ snapshotKeys: readonly unknown[] }>('trust');
    return [
      { pointer: '/authorityTerm', causes: [made] },
      {
        pointer: '/degradedGraceSeconds',
        causes: [
          made,
          {
            resource: { type: 'cluster_policy', id },
            actions: ['cluster_policy.updated'],
            changes: ['degradedGraceSeconds'],
            after: { degradedGraceSeconds },
          },
        ],
      },
      ...snapshotKeys.map((_, index) => ({ pointer: `/trust/snapshotKeys/${index}`, causes: [made] })),
    ];
  }
}

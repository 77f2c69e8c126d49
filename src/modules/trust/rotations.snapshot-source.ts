import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { RotationsRepository } from './rotations.repository.js';

/** Why a snapshot announces a key that its cluster was not made with: the rotation that brought it. */
@Injectable()
export class RotationsSnapshotSource extends SnapshotSource {
  constructor(
    sources: SnapshotSources,
    private readonly rotations: RotationsRepository,
  ) {
    super(sources);
  }

  async itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const { snapshotKeys } = subject.member<{ snapshotKeys: readonly { kid: string }[] }>('trust');
    const kids = snapshotKeys.map(({ kid }) => kid);
    const rotations = await this.rotations.findByNewKeys(tx, subject.clusterId, kids);
    return kids.flatMap((kid, index) =>
      rotations
        .filter(({ newKid }) => newKid === kid)
        .map(({ id }) => ({
          pointer: `/trust/snapshotKeys/${index}`,
          causes: [{ resource: { type: 'trust_rotation', id }, actions: ['trust_rotation.started'] }],
        })),
    );
  }
}

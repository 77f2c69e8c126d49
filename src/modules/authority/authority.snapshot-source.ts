import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';

/** Why the term in a snapshot is what it is. */
@Injectable()
export class AuthoritySnapshotSource extends SnapshotSource {
  async itemsOf(_tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const actions = ['authority.transitioned', 'authority.term_raised'] as const;
    const after = { term: subject.member<number>('authorityTerm') };
    const resource = { type: 'authority', id: subject.clusterId };
    return [{ pointer: '/authorityTerm', causes: [{ resource, actions, changes: ['term'], after }] }];
  }
}

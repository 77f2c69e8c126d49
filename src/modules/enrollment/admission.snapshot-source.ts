import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { JoinRequestsRepository } from './join-requests.repository.js';

/** What a snapshot says of its node since somebody admitted it, where nobody has changed it. */
const SINCE_ADMISSION = [
  '/schema',
  '/clusterId',
  '/nodeId',
  '/membership/status',
  '/membership/name',
  '/telemetry/enabled',
];

/** Why a node has a snapshot at all. */
@Injectable()
export class AdmissionSnapshotSource extends SnapshotSource {
  constructor(
    sources: SnapshotSources,
    private readonly requests: JoinRequestsRepository,
  ) {
    super(sources);
  }

  async itemsOf(tx: ReadTx, { clusterId, nodeId }: SnapshotSubject): Promise<SnapshotItem[]> {
    const ids = await this.requests.approvedFor(tx, clusterId, nodeId);
    const causes = ids.map((id) => ({
      resource: { type: 'join_request', id },
      actions: ['join_request.approved'] as const,
    }));
    return SINCE_ADMISSION.map((pointer) => ({ pointer, causes }));
  }
}

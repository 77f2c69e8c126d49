import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';

/** Why a snapshot says of its node what it says, beside the admission. */
@Injectable()
export class NodeSnapshotSource extends SnapshotSource {
  async itemsOf(_tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const resource = { type: 'node', id: subject.nodeId };
    const { name, status } = subject.member<{ name: string; status: string }>('membership');
    const { enabled } = subject.member<{ enabled: boolean }>('telemetry');
    const updated = { resource, actions: ['node.updated'] } as const;
    return [
      { pointer: '/membership/name', causes: [{ ...updated, changes: ['name'], after: { name } }] },
      {
        pointer: '/membership/status',
        causes: [
          { resource, actions: ['node.disabled', 'node.enabled'], after: { membershipStatus: status } },
        ],
      },
      {
        pointer: '/telemetry/enabled',
        causes: [{ ...updated, changes: ['telemetryEnabled'], after: { telemetryEnabled: enabled } }],
      },
    ];
  }
}

import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { isRoleName } from '../roles/role-catalogue.js';
import { coveredTypes } from './workload-cover.js';

/** Why a node's snapshot holds its workloads as they are: each is wanted, and a role covers it. */
@Injectable()
export class WorkloadsSnapshotSource extends SnapshotSource {
  async itemsOf(_tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    return subject.member<readonly { serviceType: string }[]>('workloads').map(({ serviceType }, index) => {
      const resource = { type: 'workload', id: `${subject.nodeId}/${serviceType}` };
      return {
        pointer: `/workloads/${index}`,
        causes: [{ resource, actions: ['workload.created', 'workload.updated'] }],
        broughtBy: subject.rolesThat(
          ({ role }) => isRoleName(role) && coveredTypes(role).includes(serviceType),
        ),
      };
    });
  }
}

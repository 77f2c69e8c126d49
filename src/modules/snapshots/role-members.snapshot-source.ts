import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { isRoleName, ROLE_CATALOGUE, type RoleName } from '../roles/role-catalogue.js';
import type { SnapshotService } from './snapshot-items.schema.js';
import { MEMBERS_OF_ROLE, type RoleMember } from './snapshot-needs.js';

/** Members that are one item each. */
const WHOLE: readonly RoleMember[] = ['peers', 'routePolicy', 'qosPolicy', 'ingress', 'storage'];

/** Why a node's snapshot holds what its roles bring of themselves. */
@Injectable()
export class RoleMembersSnapshotSource extends SnapshotSource {
  async itemsOf(_tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const broughtBy = (member: RoleMember, fits: (role: RoleName) => boolean = () => true) =>
      subject.rolesThat(
        ({ role }) => isRoleName(role) && MEMBERS_OF_ROLE[role].includes(member) && fits(role),
      );
    const services = subject.member<readonly SnapshotService[] | undefined>('services') ?? [];
    return [
      ...WHOLE.filter(
        (member) => Object.keys(subject.member<object | undefined>(member) ?? {}).length > 0,
      ).map((member) => ({ pointer: `/${member}`, causes: [], broughtBy: broughtBy(member) })),
      ...services.map(({ serviceType }, index) => ({
        pointer: `/services/${index}`,
        causes: [],
        broughtBy: broughtBy('services', (role) => ROLE_CATALOGUE[role].serviceTypes.includes(serviceType)),
      })),
    ];
  }
}

import { Injectable } from '@nestjs/common';
import { type Cause, type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { RoleGrant } from '../roles/role-assignment.js';
import { fittingGrants } from './eligibility.js';
import { type AllowedConnection, type VpnAssignmentConfig, VpnReadModel } from './vpn.read-model.js';

type Role = Pick<RoleGrant, 'role' | 'organizationId'>;

/** What a node is told of a connection; a reference to credentials is marked where it is set or taken away. */
const TOLD = ['name', 'kind', 'desiredState', 'leaseTtlSeconds', 'routePolicies', 'credentialRef'];

/** Why a node's snapshot holds its connections as they are: each allows the node, and fits a role of it. */
@Injectable()
export class VpnSnapshotSource extends SnapshotSource {
  constructor(
    sources: SnapshotSources,
    private readonly connections: VpnReadModel,
  ) {
    super(sources);
  }

  async itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const { clusterId, nodeId } = subject;
    const allowing = (await this.connections.allowing(tx, clusterId, [nodeId])).get(nodeId) ?? [];
    const told = subject.member<readonly VpnAssignmentConfig[]>('vpnAssignments');
    return told.flatMap(({ connectionId }, index) =>
      allowing
        .filter((connection) => connection.connectionId === connectionId)
        .map((connection) => ({ pointer: `/vpnAssignments/${index}`, ...explained(connection, subject) })),
    );
  }
}

function explained(
  connection: AllowedConnection,
  subject: SnapshotSubject,
): Pick<Required<SnapshotItem>, 'causes' | 'broughtBy'> {
  const fits = (role: Role) => fittingGrants(connection, [role]).length > 0;
  const resource = { type: 'vpn_connection', id: connection.connectionId };
  const updated = { resource, actions: ['vpn_connection.updated'] } as const;
  const allowed = { allowedNodeIds: [subject.nodeId] };
  const causes: Cause[] = [
    { resource, actions: ['vpn_connection.created'] },
    { ...updated, changes: TOLD },
    { ...updated, after: allowed, notBefore: allowed },
  ];
  // Whose it is matters where all roles that fit are for one organization.
  const roles = subject.member<readonly Role[]>('roles').filter(fits);
  if (roles.every(({ organizationId }) => organizationId !== null))
    causes.push({ ...updated, changes: ['organizationId'] });
  return { causes, broughtBy: subject.rolesThat((role) => fits(role as Role)) };
}

import { Injectable } from '@nestjs/common';
import { type Cause, type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { RoleGrant } from './role-assignment.js';
import { RolesReadModel } from './roles.read-model.js';

/** Why a node's snapshot holds its roles: each was given, and nothing takes it away any more. */
@Injectable()
export class RolesSnapshotSource extends SnapshotSource {
  constructor(
    sources: SnapshotSources,
    private readonly roles: RolesReadModel,
  ) {
    super(sources);
  }

  async itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const { clusterId, nodeId } = subject;
    const grants = (await this.roles.forNodes(tx, clusterId, [nodeId])).get(nodeId) ?? [];
    return subject
      .member<readonly Pick<RoleGrant, 'role' | 'organizationId'>[]>('roles')
      .map(({ role, organizationId }, index) => ({
        pointer: `/roles/${index}`,
        causes: grants
          .filter((grant) => grant.role === role && grant.organizationId === organizationId)
          .flatMap((grant) => causesOf(grant, subject)),
      }));
  }
}

function causesOf(
  { assignmentId, requiredCapabilities }: RoleGrant,
  { clusterId, nodeId }: SnapshotSubject,
): Cause[] {
  const node = { type: 'node', id: nodeId };
  return [
    {
      resource: { type: 'role_assignment', id: assignmentId },
      actions: ['role_assignment.created', 'role_assignment.enabled'],
    },
    { resource: node, actions: ['node.enabled'] },
    ...requiredCapabilities.flatMap((name): Cause[] => {
      const reported = { capabilities: [name] };
      const denied = { capabilityPolicy: { denied: [name] } };
      return [
        { resource: node, actions: ['node.capabilities_changed'], after: reported, notBefore: reported },
        {
          resource: { type: 'cluster_policy', id: clusterId },
          actions: ['cluster_policy.updated'],
          before: denied,
          notAfter: denied,
        },
      ];
    }),
  ];
}

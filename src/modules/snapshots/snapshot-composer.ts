import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AuthorityReadModel } from '../authority/authority.read-model.js';
import { ClusterKeys } from '../clusters/cluster-keys.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel, type SnapshotMember } from '../nodes/memberships.read-model.js';
import { assignedPath } from '../releases/assigned-artifacts.js';
import { grantedRoles, type RoleGrant } from '../roles/role-assignment.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { type NodeUpdate, UpdatesReadModel } from '../rollouts/updates.read-model.js';
import { CACHE_ROLE, UpdateCachesReadModel } from '../update-caches/update-caches.read-model.js';
import { assignmentsFor, VpnReadModel } from '../vpn/vpn.read-model.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import {
  type ClusterContent,
  composeNodeContent,
  NOTHING_AVAILABLE,
  type NodeContent,
} from './snapshot-content.js';
import type { SnapshotMirror, SnapshotRole, SnapshotUpdate } from './snapshot-items.schema.js';

/** A member with its composed content; null for one that is revoked and has no snapshot. */
export interface Composed {
  member: SnapshotMember;
  content: NodeContent | null;
}

/** What all of a cluster's snapshots have in common. */
export interface ComposedCluster {
  content: ClusterContent;
  snapshotLifetimeSeconds: number;
  /** The key that signs. */
  signingKid: string;
}

/** Reads what snapshots are made of, set by set, for any number of nodes at once. */
@Injectable()
export class SnapshotComposer {
  constructor(
    private readonly memberships: MembershipsReadModel,
    private readonly roles: RolesReadModel,
    private readonly workloads: WorkloadsReadModel,
    private readonly connections: VpnReadModel,
    private readonly updates: UpdatesReadModel,
    private readonly caches: UpdateCachesReadModel,
    private readonly policies: PolicyReadModel,
    private readonly authorities: AuthorityReadModel,
    private readonly keys: ClusterKeys,
  ) {}

  /** The content of these nodes, in node-id order. */
  async compose(tx: ReadTx, clusterId: string, nodeIds: readonly string[] | 'all'): Promise<Composed[]> {
    const [members, grants, workloads, connections, updates, { capabilityPolicy }, caches] =
      await Promise.all([
        this.memberships.forSnapshots(tx, clusterId, nodeIds),
        this.roles.forNodes(tx, clusterId, nodeIds),
        this.workloads.forNodes(tx, clusterId, nodeIds),
        this.connections.allowing(tx, clusterId, nodeIds),
        this.updates.forNodes(tx, clusterId, nodeIds),
        this.policies.get(tx, clusterId),
        this.caches.told(tx, clusterId),
      ]);
    const near = await this.caches.nearest(tx, clusterId, [...updates.keys()], caches);
    const isCache = [...grants.values()].some((all) => all.some(({ role }) => role === CACHE_ROLE));
    const mirror = isCache ? await this.mirror(tx, clusterId) : NOTHING_AVAILABLE.mirror;
    return members.map((member) => {
      const { membershipStatus, nodeId, name, telemetryEnabled, capabilities } = member;
      if (membershipStatus === 'revoked') return { member, content: null };
      const denied = capabilityPolicy.denied ?? [];
      const granted = grantedRoles(grants.get(nodeId) ?? [], capabilities, denied, membershipStatus);
      const facts = {
        clusterId,
        nodeId,
        name,
        membershipStatus,
        telemetryEnabled,
        roles: granted.map(snapshotRole),
        // What a module provides takes its place here, read above for all nodes at once.
        available: {
          ...NOTHING_AVAILABLE,
          workloads: workloads.get(nodeId) ?? [],
          vpnAssignments: assignmentsFor(connections.get(nodeId) ?? [], granted),
          updates: (updates.get(nodeId) ?? []).map(snapshotUpdate),
          updateCaches: near.get(nodeId) ?? [],
          mirror,
        },
      };
      return { member, content: composeNodeContent(facts) };
    });
  }

  private async mirror(tx: ReadTx, clusterId: string): Promise<SnapshotMirror> {
    const files = await this.caches.mirrored(tx, clusterId);
    return {
      files: files.map(({ releaseId: _, ...file }) => ({ ...file, path: assignedPath(file.sha256) })),
    };
  }

  /** What all of the cluster's snapshots share, how long they are valid, and by which key they are signed. */
  async cluster(tx: ReadTx, clusterId: string): Promise<ComposedCluster> {
    const { degradedGraceSeconds, snapshotLifetimeSeconds } = await this.policies.get(tx, clusterId);
    const authority = (await this.authorities.byCluster(tx, [clusterId])).get(clusterId);
    if (authority === undefined) throw new Error(`cluster ${clusterId} has no authority`);
    const keys = await this.keys.trusted(tx, clusterId);
    const signing = keys.find(({ phase }) => phase === 'active');
    if (signing === undefined) throw new Error(`cluster ${clusterId} has no snapshot key that signs`);
    const trust = { snapshotKeys: keys.map(({ publicJwk }) => publicJwk) };
    return {
      content: { authorityTerm: authority.term, degradedGraceSeconds, trust },
      snapshotLifetimeSeconds,
      signingKid: signing.kid,
    };
  }
}

function snapshotRole({ role, organizationId, policy, validFrom, validUntil }: RoleGrant): SnapshotRole {
  return {
    role,
    organizationId,
    policy: policy as SnapshotRole['policy'],
    validFrom: validFrom?.toISOString() ?? null,
    validUntil: validUntil?.toISOString() ?? null,
  };
}

function snapshotUpdate({ rolloutId: _, manifest, ...update }: NodeUpdate): SnapshotUpdate {
  return { ...update, manifest: manifest as SnapshotUpdate['manifest'] };
}

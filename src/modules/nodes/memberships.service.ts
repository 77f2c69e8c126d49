import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { postgresRefusal, violates } from '../../common/database/postgres-errors.js';
import { conflict, invalid, notFound } from '../../common/errors/domain-error.js';
import { Labels } from '../../common/http/fields.js';
import { mergePatch } from '../../common/http/merge-patch.js';
import { checkMerged } from '../../common/http/merged.js';
import type { Actor } from '../../common/request/actor.js';
import { type Outcome, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { ClusterArchiving } from '../clusters/cluster-events.js';
import type { ReportedCapabilities } from './heartbeats.schema.js';
import {
  insistence,
  type Membership,
  type MembershipSettings,
  membershipOver,
  type NewKey,
  type NewMember,
  nodeReported,
  nodeRevoked,
  nodeSwitched,
  nodeUpdated,
} from './membership.js';
import {
  CapabilitiesChanged,
  MembershipDisabled,
  MembershipEnabled,
  MembershipEnded,
  NodeAdmitted,
  NodeRegrouped,
} from './membership-events.js';
import { type MemberHold, MembershipsRepository } from './memberships.repository.js';
import { NodeIdentities } from './node-identities.js';
import { identityReplaced } from './node-identity.js';
import { nodeEtag } from './node-view.js';
import { NodesReadModel } from './nodes.read-model.js';
import type { NodeView, PatchNode } from './nodes.schema.js';

/** A live member, as those who build on it see it. */
export type Member = Membership & { membershipStatus: 'active' | 'disabled' };

/** How an operator takes a node's work away. */
export interface Taking {
  reason: string | null;
  /** Go on although a role falls below its wanted minimum by it. */
  force: boolean;
}

@Injectable()
export class MembershipsService implements OnModuleInit {
  constructor(
    private readonly transactor: Transactor,
    private readonly memberships: MembershipsRepository,
    private readonly nodes: NodesReadModel,
    private readonly identities: NodeIdentities,
    private readonly events: TxEvents,
  ) {}

  onModuleInit(): void {
    this.events.on(ClusterArchiving, async (tx, { clusterId }) => {
      if (!(await this.memberships.hasLiveMembers(tx, clusterId))) return;
      throw conflict('cluster_not_empty', 'The cluster still has members that are not revoked.');
    });
  }

  /** Makes a node a member, in the transaction of its approval.
   *  @throws conflict `node_name_taken`, `key_already_enrolled`, `node_already_member`; invalid `group_not_found` */
  async admit(tx: Tx, member: NewMember): Promise<void> {
    await translate(() => this.memberships.insert(tx, member));
    tx.touch(member.clusterId, [member.nodeId]);
    await tx.raise(new NodeAdmitted(member.clusterId, member.nodeId));
  }

  /**
   * Makes it the key of a member whose last one was revoked, in the transaction of the approval, and takes what the host
   * says of itself. The member stays what it was, disabled too. Its events.
   * @throws not_found; conflict `membership_revoked`, `node_already_member`, `key_already_enrolled`
   */
  async giveKey(
    tx: Tx,
    key: NewKey,
    capabilities: string[],
    facts: Record<string, unknown>,
  ): Promise<AuditEvent[]> {
    const { clusterId, nodeId, keyThumbprint } = key;
    const member = await this.lockMember(tx, clusterId, nodeId);
    await translate(() => this.memberships.addKey(tx, key));
    tx.touch(clusterId, [nodeId]);
    return [identityReplaced(member, keyThumbprint), ...(await this.note(tx, member, capabilities, facts))];
  }

  /** A member that is not revoked, locked until the transaction ends. @throws invalid `node_not_member` */
  async requireMember(tx: Tx, clusterId: string, nodeId: string): Promise<Member> {
    const member = await this.memberships.lock(tx, clusterId, nodeId);
    if (member === null || member.membershipStatus === 'revoked') {
      const errors = [{ pointer: '#/nodeId', message: 'No live member of this cluster.' }];
      throw invalid('node_not_member', 'The node has no live membership in this cluster.', { errors });
    }
    return member as Member;
  }

  /** These members, revoked ones too, locked until the transaction ends, in node-id order. First the members, then what
   *  rests on them: the order of whatever changes both. */
  hold(tx: Tx, clusterId: string, nodeIds: readonly string[], hold: MemberHold): Promise<Membership[]> {
    return this.memberships.lockAll(tx, clusterId, nodeIds, hold);
  }

  /** A member that is not revoked, named by a path, locked until the transaction ends.
   *  @throws not_found; conflict `membership_revoked` */
  async lockMember(tx: Tx, clusterId: string, nodeId: string): Promise<Member> {
    const member = await this.memberships.lock(tx, clusterId, nodeId);
    if (member === null) throw noSuchNode();
    if (member.membershipStatus === 'revoked')
      throw conflict('membership_revoked', 'The membership is revoked, for ever.');
    return member as Member;
  }

  /** Changes name, group, labels or telemetry. @throws not_found; stale; conflict `node_name_taken`, `membership_revoked` */
  patch(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    patch: z.infer<typeof PatchNode>,
  ): Promise<NodeView> {
    return this.change(actor, clusterId, nodeId, async (tx) => {
      const member = await this.lockMember(tx, clusterId, nodeId);
      await tx.requireMatchOf(async () => nodeEtag(await this.nodes.get(tx, clusterId, nodeId)));
      const { name, groupId, labels, telemetryEnabled } = member;
      const next = settingsOf(
        mergePatch({ name, groupId, labels, telemetryEnabled }, patch) as Partial<MembershipSettings>,
        member,
      );
      const event = nodeUpdated(member, next);
      if (event === null) return null;
      await translate(() => this.memberships.update(tx, member, next));
      tx.touch(clusterId, [nodeId]);
      if (next.groupId !== groupId) await tx.raise(new NodeRegrouped(clusterId, nodeId));
      return event;
    });
  }

  /** Takes its work from a member; its identity stays. Again changes nothing.
   *  @throws not_found; conflict `membership_revoked`, and what subscribers of {@link MembershipDisabled} throw */
  disable(actor: Actor, clusterId: string, nodeId: string, { reason, force }: Taking): Promise<NodeView> {
    return this.change(actor, clusterId, nodeId, async (tx) => {
      const member = await this.lockMember(tx, clusterId, nodeId);
      return member.membershipStatus === 'disabled' ? null : this.disableInTx(tx, member, { reason, force });
    });
  }

  /** The same of a locked, active member in the caller's transaction. Its event.
   *  @throws what subscribers of {@link MembershipDisabled} throw unless `force` is given */
  async disableInTx(tx: Tx, member: Membership, { reason, force }: Taking): Promise<AuditEvent> {
    const { clusterId, nodeId } = member;
    await this.memberships.setStatus(tx, member, 'disabled');
    tx.touch(clusterId, [nodeId]);
    const taken = new MembershipDisabled(clusterId, nodeId, 'active', force);
    await tx.raise(taken);
    return nodeSwitched(member, 'disabled', reason, insistence(force, taken.rolesBelowMinimum));
  }

  /** Gives a disabled member its work back. Again changes nothing.
   *  @throws not_found; conflict `membership_revoked`, `node_without_identity` */
  enable(actor: Actor, clusterId: string, nodeId: string): Promise<NodeView> {
    return this.change(actor, clusterId, nodeId, async (tx) => {
      const member = await this.lockMember(tx, clusterId, nodeId);
      if (member.membershipStatus === 'active') return null;
      if ((await this.identities.active(tx, clusterId, nodeId)) === null) throw withoutIdentity();
      await this.memberships.setStatus(tx, member, 'active');
      tx.touch(clusterId, [nodeId]);
      await tx.raise(new MembershipEnabled(clusterId, nodeId));
      return nodeSwitched(member, 'active', null);
    });
  }

  /** Ends identity and membership for ever; the node's next call is refused. A repeat changes nothing. */
  revoke(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    { reason, force }: Taking & { reason: string },
  ): Promise<NodeView> {
    return this.change(actor, clusterId, nodeId, (tx) => this.end(tx, clusterId, nodeId, reason, force));
  }

  /** The same in the caller's transaction. Its event; null when the membership had ended before.
   *  @throws not_found, and what subscribers of {@link MembershipEnded} throw unless `force` is given */
  async end(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    reason: string,
    force: boolean,
  ): Promise<AuditEvent | null> {
    // First the cluster, then its members: the order of whatever changes both.
    await this.memberships.lockEpoch(tx, clusterId);
    const member = await this.memberships.lock(tx, clusterId, nodeId);
    if (member === null) throw noSuchNode();
    if (member.membershipStatus === 'revoked') return null;
    const epoch = await this.memberships.revoke(tx, member, reason);
    tx.touch(clusterId, [nodeId]);
    const taken = new MembershipEnded(clusterId, nodeId, member.membershipStatus, force);
    await tx.raise(taken);
    return nodeRevoked(member, reason, epoch, insistence(force, taken.rolesBelowMinimum));
  }

  /** Takes what the agent says of its host, and answers it. Only a change is written. @throws unauthenticated */
  report(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    said: ReportedCapabilities,
  ): Promise<ReportedCapabilities> {
    return this.transactor.observe(actor, async (tx) => {
      const member = await this.memberships.lock(tx, clusterId, nodeId);
      // The guard may know it from before the revocation, on another instance.
      if (member === null || member.membershipStatus === 'revoked') throw membershipOver();
      const { capabilities, facts } = said;
      return { result: { capabilities, facts }, events: await this.note(tx, member, capabilities, facts) };
    });
  }

  /** Writes down what is new in what the host says of itself. Its events. */
  private async note(
    tx: Tx,
    member: Membership,
    capabilities: string[],
    facts: Record<string, unknown>,
  ): Promise<AuditEvent[]> {
    const { clusterId, nodeId } = member;
    const events = nodeReported(member, capabilities, facts);
    if (events.length === 0) return events;
    await this.memberships.report(tx, member, capabilities, facts);
    tx.touch(clusterId, [nodeId]);
    await tx.raise(new CapabilitiesChanged(clusterId, nodeId));
    return events;
  }

  /** Makes one change, on `pg`, and shows the node as it is then. @param work its event; null: it was so before */
  private async change(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    work: (tx: Tx) => Promise<AuditEvent | null>,
  ): Promise<NodeView> {
    const change = async (tx: Tx): Promise<Outcome<undefined>> => {
      const event = await work(tx);
      return event === null ? { result: undefined, unchanged: true } : { result: undefined, events: [event] };
    };
    // Its node waits for it, and it is a dozen short statements.
    await this.transactor.mutateDirect(actor, change, { prepares: true });
    // What the change did to the number of the snapshot shows only now.
    return this.transactor.read((tx) => this.nodes.get(tx, clusterId, nodeId));
  }
}

function settingsOf(merged: Partial<MembershipSettings>, member: Membership): MembershipSettings {
  const { name = member.name, groupId = null, labels = {}, telemetryEnabled = false } = merged;
  checkMerged(Labels, 'labels', labels);
  return { name, groupId, labels, telemetryEnabled };
}

/** Says in the API's words what a constraint refused. */
async function translate(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (violates(error, 'cluster_memberships_name_is_unique')) {
      throw conflict('node_name_taken', 'Another member of the cluster has this name.', { cause: error });
    }
    if (violates(error, 'node_identities_key_is_unique')) {
      throw conflict('key_already_enrolled', 'This key belongs to another node or cluster.', {
        cause: error,
      });
    }
    if (violates(error, 'cluster_memberships_pkey') || violates(error, 'node_identities_one_active')) {
      throw conflict(
        'node_already_member',
        'The node is, or was, a member of this cluster, with a key that works.',
        {
          cause: error,
        },
      );
    }
    if (postgresRefusal(error)?.constraint === 'cluster_memberships_cluster_id_group_id_fkey') {
      const errors = [{ pointer: '#/groupId', message: 'No such group in this cluster.' }];
      throw invalid('group_not_found', 'The cluster has no such node group.', { errors, cause: error });
    }
    throw error;
  }
}

function withoutIdentity() {
  return conflict('node_without_identity', 'The key of the node is revoked: nothing could do its work.');
}

function noSuchNode() {
  return notFound('not_found', 'The cluster has no such node.');
}

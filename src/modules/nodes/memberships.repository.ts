import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { systemIn } from './host-system.js';
import type { Membership, MembershipSettings, NewKey, NewMember } from './membership.js';

const COLUMNS = sql`m.cluster_id AS "clusterId", m.node_id AS "nodeId", m.name, m.membership_status AS "membershipStatus",
  m.group_id AS "groupId", m.labels, m.telemetry_enabled AS "telemetryEnabled", m.capabilities, m.facts`;

/**
 * How members are kept: from every change, from everybody else for a change of one's own, or from every change where
 * nobody is at them; who waits for none gets no more than those.
 */
export type MemberHold = 'as_they_are' | 'to_change' | 'as_they_are_unless_busy';

const STRENGTHS: Record<MemberHold, Sql> = {
  as_they_are: sql`FOR SHARE`,
  to_change: sql`FOR NO KEY UPDATE`,
  as_they_are_unless_busy: sql`FOR SHARE SKIP LOCKED`,
};

@Injectable()
export class MembershipsRepository {
  async insert(tx: Tx, member: NewMember): Promise<void> {
    if (member.isNewNode) {
      await tx.query(sql`
        INSERT INTO nodes (id, machine_id, created_at) VALUES (${member.nodeId}::uuid, ${member.machineId}, ${tx.now})`);
    }
    await tx.query(sql`
      INSERT INTO cluster_memberships (cluster_id, node_id, name, group_id, labels, capabilities, facts, agent_version,
             os, arch, joined_at, updated_at)
      VALUES (${member.clusterId}::uuid, ${member.nodeId}::uuid, ${member.name}, ${member.groupId}::uuid,
             ${JSON.stringify(member.labels)}::jsonb, ${member.capabilities}::text[], ${JSON.stringify(member.facts)}::jsonb,
             ${member.agentVersion}, ${member.os}, ${member.arch}, ${tx.now}, ${tx.now})`);
    await this.addKey(tx, member);
  }

  /** Makes it the key by which the member is known; it has none that is active. */
  async addKey(tx: Tx, { clusterId, nodeId, publicKey, keyThumbprint }: NewKey): Promise<void> {
    await tx.query(sql`
      INSERT INTO node_identities (id, cluster_id, node_id, public_key, key_thumbprint, created_at)
      VALUES (${tx.newId()}::uuid, ${clusterId}::uuid, ${nodeId}::uuid, ${JSON.stringify(publicKey)}::jsonb,
             ${keyThumbprint}, ${tx.now})`);
  }

  /** Locks the row against every other change of it. Not shared: whoever holds it goes on to change it. */
  async lock(tx: Tx, clusterId: string, nodeId: string): Promise<Membership | null> {
    const [row] = await tx.query<Membership>(sql`
      SELECT ${COLUMNS} FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid FOR NO KEY UPDATE`);
    return row ?? null;
  }

  /**
   * Locks these members in node-id order, so that two who want several of them never wait for each other in a circle.
   */
  lockAll(tx: Tx, clusterId: string, nodeIds: readonly string[], hold: MemberHold): Promise<Membership[]> {
    const strength = STRENGTHS[hold];
    return tx.query<Membership>(sql`
      SELECT ${COLUMNS} FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[]) ORDER BY m.node_id ${strength}`);
  }

  async update(tx: Tx, { clusterId, nodeId }: Membership, settings: MembershipSettings): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_memberships AS m
         SET name = ${settings.name}, group_id = ${settings.groupId}::uuid, labels = ${JSON.stringify(settings.labels)}::jsonb,
             telemetry_enabled = ${settings.telemetryEnabled}, updated_at = ${tx.now}
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
  }

  async setStatus(tx: Tx, { clusterId, nodeId }: Membership, status: 'active' | 'disabled'): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_memberships AS m SET membership_status = ${status}, updated_at = ${tx.now}
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
  }

  /** Keeps the cluster's revocation epoch for this transaction to raise. */
  async lockEpoch(tx: Tx, clusterId: string): Promise<void> {
    await tx.query(sql`SELECT c.id FROM clusters AS c WHERE c.id = ${clusterId}::uuid FOR NO KEY UPDATE`);
  }

  /** Ends membership and identity, and raises the cluster's revocation epoch. Returns the new epoch. */
  async revoke(tx: Tx, { clusterId, nodeId }: Membership, reason: string): Promise<number> {
    await tx.query(sql`
      UPDATE cluster_memberships AS m
         SET membership_status = 'revoked', revoked_at = ${tx.now}, revocation_reason = ${reason}, updated_at = ${tx.now}
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
    await tx.query(sql`
      UPDATE node_identities AS i SET identity_status = 'revoked', revoked_at = ${tx.now}
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid AND i.identity_status <> 'revoked'`);
    return this.raiseEpoch(tx, clusterId);
  }

  /** Raises the cluster's revocation epoch. Returns the new one. */
  async raiseEpoch(tx: Tx, clusterId: string): Promise<number> {
    const [row] = await tx.query<{ epoch: number }>(sql`
      UPDATE clusters AS c SET revocation_epoch = c.revocation_epoch + 1
       WHERE c.id = ${clusterId}::uuid RETURNING c.revocation_epoch AS epoch`);
    return row?.epoch ?? 0;
  }

  async report(
    tx: Tx,
    { clusterId, nodeId }: Membership,
    capabilities: string[],
    facts: Record<string, unknown>,
  ): Promise<void> {
    // It may have been put on another machine.
    const { os, arch } = systemIn(facts);
    await tx.query(sql`
      UPDATE cluster_memberships AS m
         SET capabilities = ${capabilities}::text[], facts = ${JSON.stringify(facts)}::jsonb, updated_at = ${tx.now},
             os = coalesce(${os}, m.os), arch = coalesce(${arch}, m.arch)
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
  }

  async hasLiveMembers(tx: ReadTx, clusterId: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT 1 FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.membership_status <> 'revoked' LIMIT 1`);
    return rows.length > 0;
  }
}

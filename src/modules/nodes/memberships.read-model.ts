import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';

/** A member as its snapshot needs it. */
export interface SnapshotMember {
  nodeId: string;
  name: string;
  membershipStatus: 'active' | 'disabled' | 'revoked';
  capabilities: string[];
  telemetryEnabled: boolean;
  generationCounter: number;
  generationChangedAt: Date;
  /** Hash of the node's own content, good while the cluster's base is the one that it was taken under. */
  contentHash: Buffer | null;
  contentBase: number | null;
}

/** A member by what identifies it. */
export interface KnownMember {
  clusterId: string;
  nodeId: string;
  name: string;
}

/** A member as far as it can be updated. */
export interface UpdateMember {
  nodeId: string;
  os: string;
  arch: string;
  agentVersion: string | null;
  membershipStatus: 'active' | 'disabled';
  lastSeenAt: Date | null;
}

/** What modules above ask of memberships and identities. */
@Injectable()
export class MembershipsReadModel {
  findByNames(tx: ReadTx, clusterId: string, names: readonly string[]): Promise<KnownMember[]> {
    return tx.query<KnownMember>(sql`
      SELECT m.cluster_id AS "clusterId", m.node_id AS "nodeId", m.name FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.name = ANY(${names}::text[]) AND m.membership_status <> 'revoked'`);
  }

  /** Members in any cluster that have, or had, one of these keys. */
  identitiesByKeys(
    tx: ReadTx,
    thumbprints: readonly string[],
  ): Promise<{ thumbprint: string; clusterId: string; nodeId: string }[]> {
    return tx.query(sql`
      SELECT i.key_thumbprint AS thumbprint, i.cluster_id AS "clusterId", i.node_id AS "nodeId"
        FROM node_identities AS i WHERE i.key_thumbprint = ANY(${thumbprints}::text[])`);
  }

  /** Unrevoked members in any cluster on the machines with these ids. */
  findByMachineIds(
    tx: ReadTx,
    machineIds: readonly string[],
  ): Promise<(KnownMember & { machineId: string })[]> {
    return tx.query(sql`
      SELECT m.cluster_id AS "clusterId", m.node_id AS "nodeId", m.name, m.facts ->> 'machineId' AS "machineId"
        FROM cluster_memberships AS m
       WHERE m.facts ->> 'machineId' = ANY(${machineIds}::text[]) AND m.membership_status <> 'revoked'`);
  }

  /** Members that are not revoked. */
  async nodeIds(tx: ReadTx, clusterId: string): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT m.node_id AS "nodeId" FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.membership_status <> 'revoked'`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Those of these nodes that are members and not revoked. */
  async live(tx: ReadTx, clusterId: string, nodeIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT m.node_id AS "nodeId" FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[])
         AND m.membership_status <> 'revoked'`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Whether the cluster has this node group. */
  async hasGroup(tx: ReadTx, clusterId: string, groupId: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT g.id FROM node_groups AS g WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${groupId}::uuid`);
    return rows.length === 1;
  }

  /** Members with what numbers their snapshots, in node-id order. */
  forSnapshots(tx: ReadTx, clusterId: string, nodeIds: readonly string[] | 'all'): Promise<SnapshotMember[]> {
    const isOne = (nodeId: Sql) => (nodeIds === 'all' ? sql`true` : sql`${nodeId} = ANY(${nodeIds}::uuid[])`);
    return tx.query<SnapshotMember>(sql`
      SELECT m.node_id AS "nodeId", m.name, m.membership_status AS "membershipStatus", m.capabilities,
             m.telemetry_enabled AS "telemetryEnabled", g.generation_counter AS "generationCounter",
             g.generation_changed_at AS "generationChangedAt", g.content_hash AS "contentHash",
             g.content_base AS "contentBase"
        FROM cluster_memberships AS m JOIN node_generations AS g ON g.cluster_id = m.cluster_id AND g.node_id = m.node_id
       WHERE m.cluster_id = ${clusterId}::uuid AND ${isOne(sql`m.node_id`)}
         AND g.cluster_id = ${clusterId}::uuid AND ${isOne(sql`g.node_id`)} ORDER BY m.node_id`);
  }

  /** The group of each of these nodes and those above it, from the root down; a node in no group is not in the map. */
  async groupPaths(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<Map<string, string[]>> {
    const rows = await tx.query<{ nodeId: string; groups: string[] }>(sql`
      WITH RECURSIVE own AS (
        SELECT m.node_id, m.group_id FROM cluster_memberships AS m
         WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[]) AND m.group_id IS NOT NULL
      ), above AS (
        SELECT g.id AS start, g.id, g.parent_id, 1 AS level FROM node_groups AS g
         WHERE g.cluster_id = ${clusterId}::uuid AND g.id IN (SELECT o.group_id FROM own AS o)
        UNION ALL
        SELECT a.start, g.id, g.parent_id, a.level + 1 FROM node_groups AS g JOIN above AS a ON g.id = a.parent_id
         WHERE g.cluster_id = ${clusterId}::uuid
      ), paths AS (
        SELECT a.start, array_agg(a.id ORDER BY a.level DESC) AS groups FROM above AS a GROUP BY a.start
      )
      SELECT o.node_id AS "nodeId", p.groups FROM own AS o JOIN paths AS p ON p.start = o.group_id`);
    return new Map(rows.map(({ nodeId, groups }) => [nodeId, groups]));
  }

  /** Members as updates see them; revoked ones left out. */
  updateSubjects(tx: ReadTx, clusterId: string, nodeIds: readonly string[]): Promise<UpdateMember[]> {
    return tx.query<UpdateMember>(sql`
      SELECT m.node_id AS "nodeId", m.os, m.arch, m.agent_version AS "agentVersion",
             m.membership_status AS "membershipStatus", l.last_seen_at AS "lastSeenAt"
        FROM cluster_memberships AS m LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[])
         AND m.membership_status <> 'revoked' ORDER BY m.node_id`);
  }

  /** The same of one member, as a table of one row or none for another statement. */
  updateSubject(clusterId: string, nodeId: Sql): Sql {
    return sql`(
      SELECT m.os, m.arch, m.agent_version, l.last_seen_at
        FROM cluster_memberships AS m LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId} AND m.membership_status <> 'revoked')`;
  }

  /** Whether a member is one of which nothing can be wanted now: offline by the policy of the cluster, or disabled. One
   *  that has just joined has the same time to be heard of. A condition for another statement, on a column of it.
   *  By the clock itself, as a node's health: when it was heard of was read from there, and beside a recorded time that is
   *  ahead everybody would be away. */
  isAway(clusterId: string, nodeId: Sql): Sql {
    return sql`EXISTS (
      SELECT 1 FROM cluster_memberships AS m
        LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId} AND m.membership_status <> 'revoked'
         AND (m.membership_status = 'disabled' OR coalesce(l.last_seen_at, m.joined_at) <= (
           SELECT now() - make_interval(secs => p.heartbeat_seconds * p.offline_after_missed)
             FROM cluster_policies AS p WHERE p.cluster_id = ${clusterId}::uuid)))`;
  }

  /** The same of one member. */
  async isAwayNow(tx: ReadTx, clusterId: string, nodeId: string): Promise<boolean> {
    const [row] = await tx.query<{ isAway: boolean }>(sql`
      SELECT ${this.isAway(clusterId, sql`${nodeId}::uuid`)} AS "isAway"`);
    return row?.isAway ?? false;
  }
}

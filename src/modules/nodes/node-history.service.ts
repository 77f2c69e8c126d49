import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { sql } from '../../common/database/sql.js';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AuditReadModel } from '../audit/audit.read-model.js';
import type { AuditEventView } from '../audit/audit.schema.js';
import type { NodeIdentityView, NodeTimelineQuery, TimelineEntry } from './node-history.schema.js';

type KeyView = NodeIdentityView['keys'][number];

interface KeyRow extends Pick<KeyView, 'id' | 'thumbprint' | 'publicKey' | 'status' | 'rotatedFrom'> {
  createdAt: Date;
  rotatedAt: Date | null;
  validUntil: Date | null;
  revokedAt: Date | null;
  serial: string | null;
  notBefore: Date | null;
  notAfter: Date | null;
  certificateRevokedAt: Date | null;
}

/** What a member has been: its keys, and what happened to it. */
@Injectable()
export class NodeHistoryService {
  constructor(
    private readonly transactor: Transactor,
    private readonly audit: AuditReadModel,
    private readonly paging: Paging,
  ) {}

  /** The keys by which the node is, or was, known in the cluster. @throws not_found */
  identity(clusterId: string, nodeId: string): Promise<NodeIdentityView> {
    return this.transactor.read((tx) => this.show(tx, clusterId, nodeId));
  }

  /** The same, as it is in the caller's transaction. @throws not_found */
  async show(tx: ReadTx, clusterId: string, nodeId: string): Promise<NodeIdentityView> {
    const membershipStatus = await statusOf(tx, clusterId, nodeId);
    const rows = await tx.query<KeyRow>(sql`
      SELECT i.id, i.key_thumbprint AS thumbprint, i.public_key AS "publicKey", i.identity_status AS status,
             i.created_at AS "createdAt", i.rotated_at AS "rotatedAt", i.valid_until AS "validUntil",
             i.revoked_at AS "revokedAt", i.rotated_from AS "rotatedFrom", i.certificate_serial AS serial,
             i.certificate_not_before AS "notBefore", i.certificate_not_after AS "notAfter",
             i.certificate_revoked_at AS "certificateRevokedAt"
        FROM node_identities AS i
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid
       ORDER BY i.created_at DESC, i.id DESC`);
    return { nodeId, clusterId, membershipStatus, keys: rows.map((row) => keyView(row, tx.now)) };
  }

  /** What the node did and what was done to it in this cluster, newest first. @throws not_found */
  timeline(
    clusterId: string,
    nodeId: string,
    { limit, cursor }: z.infer<typeof NodeTimelineQuery>,
  ): Promise<Page<TimelineEntry>> {
    const list = { kind: 'node_timeline', filters: { clusterId, nodeId }, limit, cursor };
    const after = this.paging.after(list);
    return this.transactor.read(async (tx) => {
      await statusOf(tx, clusterId, nodeId);
      const node = { type: 'node' as const, id: nodeId };
      const events = await this.audit.concerning(tx, clusterId, node, after, limit + 1);
      return this.paging.page(list, events, ({ occurredAt, id }) => [occurredAt, id], entry);
    });
  }
}

async function statusOf(
  tx: ReadTx,
  clusterId: string,
  nodeId: string,
): Promise<NodeIdentityView['membershipStatus']> {
  const [row] = await tx.query<{ status: NodeIdentityView['membershipStatus'] }>(sql`
    SELECT m.membership_status AS status FROM cluster_memberships AS m
     WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
  if (row === undefined) throw notFound('not_found', 'The cluster has no such node.');
  return row.status;
}

function keyView(key: KeyRow, now: Date): KeyView {
  const { id, thumbprint, publicKey, status, createdAt, rotatedAt, rotatedFrom, validUntil, revokedAt } = key;
  return {
    id,
    thumbprint,
    publicKey,
    status,
    createdAt: createdAt.toISOString(),
    rotatedAt: rotatedAt?.toISOString() ?? null,
    rotatedFrom,
    validUntil: validUntil?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
    certificate: certificateView(key, now),
  };
}

function certificateView(
  { serial, notBefore, notAfter, certificateRevokedAt }: KeyRow,
  now: Date,
): KeyView['certificate'] {
  if (serial === null || notBefore === null || notAfter === null) return null;
  const status = certificateRevokedAt !== null ? 'revoked' : notAfter <= now ? 'expired' : 'active';
  return { serial, notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(), status };
}

/** Without what only readers of the whole log may know: whence somebody called. */
function entry(event: AuditEventView): TimelineEntry {
  const { id, occurredAt, action, actor, resource, outcome, reason, before, after } = event;
  const { type, displayName } = actor;
  return {
    id,
    occurredAt,
    action,
    actor: { type, id: actor.id, displayName },
    resource,
    outcome,
    reason,
    before,
    after,
  };
}

import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { CHANNELS, type Channel, type ChannelName } from './channel.js';
import type { Doer } from './release.js';
import type { ReleaseRef } from './release-events.js';

const COLUMNS = sql`p.id AS "productId", p.name AS product, n.channel, c.release_id AS "releaseId", r.version,
  coalesce(c.revision, 0)::int AS revision, c.updated_at AS "updatedAt"`;

@Injectable()
export class ChannelsRepository {
  async find(tx: ReadTx, clusterId: string, product: string, channel: ChannelName): Promise<Channel | null> {
    const [row] = await this.select(
      tx,
      clusterId,
      sql`p.name = ${product} AND n.channel = ${channel}`,
      sql``,
    );
    return row ?? null;
  }

  async findOf(
    tx: ReadTx,
    clusterId: string,
    productId: string,
    channel: ChannelName,
  ): Promise<Channel | null> {
    const where = sql`p.id = ${productId}::uuid AND n.channel = ${channel}`;
    const [row] = await this.select(tx, clusterId, where, sql``);
    return row ?? null;
  }

  /** By product and channel. */
  list(
    tx: ReadTx,
    clusterId: string,
    product: string | undefined,
    after: CursorValues | null,
    limit: number,
  ): Promise<Channel[]> {
    const [name = null, channel = null] = after ?? [];
    return this.select(
      tx,
      clusterId,
      sql`(${product ?? null}::text IS NULL OR p.name = ${product ?? null})
          AND (${name}::text IS NULL OR (p.name COLLATE "C", n.channel COLLATE "C") > (${name}, ${channel}))`,
      sql`ORDER BY p.name COLLATE "C", n.channel COLLATE "C" LIMIT ${limit + 1}`,
    );
  }

  /**
   * Keeps everybody else from moving the channel until `tx` ends, whether or not it has a row: two who set it for the
   * first time would not meet on one.
   */
  async lock(tx: Tx, clusterId: string, productId: string, channel: ChannelName): Promise<void> {
    const name = `channel ${clusterId} ${productId} ${channel}`;
    await tx.query(sql`SELECT pg_advisory_xact_lock(hashtextextended(${name}, 0))::text`);
  }

  /** The channels of all clusters that point to the release. */
  async pointingTo(
    tx: Tx,
    { productId, releaseId }: ReleaseRef,
  ): Promise<{ clusterId: string; channel: ChannelName }[]> {
    return tx.query(sql`
      SELECT c.cluster_id AS "clusterId", c.channel FROM channels AS c
       WHERE c.product_id = ${productId}::uuid AND c.release_id = ${releaseId}::uuid
       ORDER BY c.cluster_id, c.channel`);
  }

  /** The last place where the channel was that it may go back to; held, so that it stays one until `tx` ends. */
  async lastGood(
    tx: Tx,
    clusterId: string,
    productId: string,
    channel: ChannelName,
  ): Promise<ReleaseRef | null> {
    for (;;) {
      const [found] = await tx.query<{ releaseId: string; version: string }>(sql`
        SELECT r.id AS "releaseId", r.version FROM channel_moves AS m JOIN releases AS r ON r.id = m.release_id
         WHERE m.cluster_id = ${clusterId}::uuid AND m.product_id = ${productId}::uuid AND m.channel = ${channel}
           AND r.approved_at IS NOT NULL AND r.blocked_at IS NULL
         ORDER BY m.revision DESC LIMIT 1`);
      if (found === undefined) return null;
      // One that is being blocked is waited for; the next look does not see it any more.
      const held = await tx.query(sql`
        SELECT r.id FROM releases AS r WHERE r.id = ${found.releaseId}::uuid AND r.blocked_at IS NULL FOR SHARE`);
      if (held.length === 1) return { productId, ...found };
    }
  }

  /** Points the channel elsewhere, and remembers that it did. */
  async move(tx: Tx, channel: Channel, to: ReleaseRef | null, by: Doer): Promise<void> {
    const { clusterId, productId, revision } = channel;
    const next = revision + 1;
    const releaseId = to?.releaseId ?? null;
    await tx.query(sql`
      INSERT INTO channels AS c (cluster_id, product_id, channel, release_id, revision, updated_at, updated_by_type,
             updated_by_id)
      VALUES (${clusterId}::uuid, ${productId}::uuid, ${channel.channel}, ${releaseId}::uuid, ${next}, ${tx.now},
              ${by.type}, ${by.id})
      ON CONFLICT (cluster_id, product_id, channel) DO UPDATE SET release_id = EXCLUDED.release_id,
             revision = EXCLUDED.revision, updated_at = EXCLUDED.updated_at,
             updated_by_type = EXCLUDED.updated_by_type, updated_by_id = EXCLUDED.updated_by_id`);
    await tx.query(sql`
      INSERT INTO channel_moves (cluster_id, product_id, channel, revision, release_id, moved_at)
      VALUES (${clusterId}::uuid, ${productId}::uuid, ${channel.channel}, ${next}, ${releaseId}::uuid, ${tx.now})`);
  }

  private async select(tx: ReadTx, clusterId: string, where: Sql, order: Sql): Promise<Channel[]> {
    const rows = await tx.query<Omit<Channel, 'clusterId'>>(sql`
      SELECT ${COLUMNS} FROM products AS p CROSS JOIN unnest(${[...CHANNELS]}::text[]) AS n (channel)
        LEFT JOIN channels AS c ON c.cluster_id = ${clusterId}::uuid AND c.product_id = p.id AND c.channel = n.channel
        LEFT JOIN releases AS r ON r.id = c.release_id
       WHERE ${where} ${order}`);
    return rows.map((row) => ({ clusterId, ...row }));
  }
}

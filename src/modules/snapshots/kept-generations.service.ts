import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { malformed, notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { boundedPatch } from './generation-patch.js';
import { type KeptGeneration, KeptGenerationsRepository } from './kept-generations.repository.js';
import type { SnapshotPayload } from './snapshot-renderer.js';
import { hashesIn, membersOf } from './snapshot-sections.js';
import type { KeptGenerationsQuery, KeptGenerationView, NodeSnapshotQuery } from './snapshots.schema.js';

/** Reads back what nodes were given. */
@Injectable()
export class KeptGenerationsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly kept: KeptGenerationsRepository,
    private readonly members: MembershipsReadModel,
    private readonly paging: Paging,
  ) {}

  /**
   * The generation of this number, or what was in force at an instant.
   * @throws not_found; not_found `generation_not_kept` with the nearest that is; malformed `invalid_parameter` for both
   */
  get(
    clusterId: string,
    nodeId: string,
    { generation, at }: z.infer<typeof NodeSnapshotQuery>,
  ): Promise<SnapshotPayload> {
    return this.transactor.read(async (tx) => {
      await this.requireMember(tx, clusterId, nodeId);
      const found = await this.find(tx, clusterId, nodeId, generation, at);
      if (found.kept === null) throw notKept(found.nearest);
      return this.payload(tx, found.kept);
    });
  }

  /** What was kept of a node, newest first, each with how it differs from the one before. @throws not_found */
  list(
    clusterId: string,
    nodeId: string,
    { limit, cursor, from, to }: z.infer<typeof KeptGenerationsQuery>,
  ): Promise<Page<KeptGenerationView>> {
    const list = { kind: 'kept_generations', filters: { clusterId, nodeId, from, to }, limit, cursor };
    const [after = null] = this.paging.after(list) ?? [];
    return this.transactor.read(async (tx) => {
      await this.requireMember(tx, clusterId, nodeId);
      const below = after === null ? null : Number(after);
      const rows = await this.kept.list(tx, clusterId, nodeId, { from, to, below }, limit + 1);
      // The one before the last is what that differs from, also where the range leaves it out.
      const last = rows.at(-1);
      const older =
        last === undefined ? [] : await this.kept.list(tx, clusterId, nodeId, { below: last.generation }, 1);
      const all = [...rows, ...older];
      const sections = await this.differingSections(tx, clusterId, all);
      const previous = new Map(all.map((row, index) => [row.generation, all[index + 1] ?? null]));
      return this.paging.page(
        list,
        rows,
        (row) => [row.generation],
        (row) => view(row, previous.get(row.generation) ?? null, sections),
      );
    });
  }

  private async find(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    generation: number | undefined,
    at: string | undefined,
  ): Promise<{ kept: KeptGeneration } | { kept: null; nearest: KeptGeneration | null }> {
    if (generation !== undefined && at === undefined) {
      const kept = await this.kept.find(tx, clusterId, nodeId, generation);
      if (kept !== null) return { kept };
      return { kept, nearest: await this.kept.nearest(tx, clusterId, nodeId, generation) };
    }
    if (at === undefined || generation !== undefined) {
      throw malformed('invalid_parameter', 'Either a generation or an instant is asked for.', {
        errors: [{ parameter: 'at', message: 'Not together with generation.' }],
      });
    }
    const kept = await this.kept.findAt(tx, clusterId, nodeId, at);
    if (kept !== null) return { kept };
    return { kept, nearest: await this.kept.first(tx, clusterId, nodeId) };
  }

  private async payload(tx: ReadTx, kept: KeptGeneration): Promise<SnapshotPayload> {
    const { clusterId, nodeId, generation, issuedAt, expiresAt } = kept;
    const hashes = hashesIn(kept.sectionHashes);
    const sections = await this.kept.sections(tx, clusterId, hashes);
    return {
      ...membersOf(hashes.map((hash) => sectionOf(sections, hash))),
      clusterId,
      nodeId,
      generation,
      issuedAt: issuedAt.toISOString(),
      expiresAt: expiresAt.toISOString(),
    };
  }

  /** The sections in which neighbours differ, and no others: what two have in common says nothing of a difference. */
  private differingSections(
    tx: ReadTx,
    clusterId: string,
    rows: readonly KeptGeneration[],
  ): Promise<Map<string, object>> {
    const wanted = rows.flatMap((row, index) => {
      const before = rows[index + 1];
      if (before === undefined) return [];
      return [...hashesNotIn(row, before), ...hashesNotIn(before, row)];
    });
    return this.kept.sections(tx, clusterId, wanted);
  }

  private async requireMember(tx: ReadTx, clusterId: string, nodeId: string): Promise<void> {
    const members = await this.members.forSnapshots(tx, clusterId, [nodeId]);
    if (members.length === 0) throw notFound('not_found', 'The cluster has no such node.');
  }
}

function view(
  kept: KeptGeneration,
  before: KeptGeneration | null,
  sections: ReadonlyMap<string, object>,
): KeptGenerationView {
  const { generation, authorityTerm, servedAt, issuedAt, expiresAt } = kept;
  const common = {
    generation,
    authorityTerm,
    servedAt: servedAt.toISOString(),
    issuedAt: issuedAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
  };
  if (before === null) return { ...common, previousGeneration: null, patch: null, patchTruncated: false };
  const members = (of: KeptGeneration, other: KeptGeneration) =>
    membersOf(hashesNotIn(of, other).map((hash) => sectionOf(sections, hash)));
  const { patch, isTruncated } = boundedPatch(members(before, kept), members(kept, before));
  return { ...common, previousGeneration: before.generation, patch, patchTruncated: isTruncated };
}

function hashesNotIn(one: KeptGeneration, other: KeptGeneration): Buffer[] {
  const known = new Set(hashesIn(other.sectionHashes).map((hash) => hash.toString('hex')));
  return hashesIn(one.sectionHashes).filter((hash) => !known.has(hash.toString('hex')));
}

function sectionOf(sections: ReadonlyMap<string, object>, hash: Buffer): object {
  const section = sections.get(hash.toString('hex'));
  if (section === undefined)
    throw new Error(`the section ${hash.toString('hex')} of a kept generation is gone`);
  return section;
}

function notKept(nearest: KeptGeneration | null) {
  return notFound(
    'generation_not_kept',
    'The node was not given such a generation, or it is kept no longer.',
    {
      extensions: {
        nearest:
          nearest === null
            ? null
            : { generation: nearest.generation, servedAt: nearest.servedAt.toISOString() },
      },
    },
  );
}

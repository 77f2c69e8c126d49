import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { groupOf } from './generation-group.js';
import { GenerationUngrouper } from './generation-ungrouper.js';
import { KeptGenerationGroupsRepository } from './kept-generation-groups.repository.js';
import { KeptGenerationsRepository } from './kept-generations.repository.js';
import { type OwnPart, type SharedPart, sectionHashes, type UnsignedSnapshot } from './snapshot-parts.js';
import type { Section } from './snapshot-sections.js';
import type { StoredSection } from './stored-sections.sql.js';

/** For how long this instance takes a section for stored without looking; retention leaves it alone for longer. */
const SURE_MS = 12 * 3_600_000;
/** Sections and nodes remembered; a node has a few sections of its own, and the rest is shared. */
const REMEMBERED = 100_000;

/** Which sections are surely stored, and which parts have no other ones: of these no section is looked at again. */
export class StoredSections {
  private readonly sections = new Map<string, number>();
  private readonly parts = new WeakMap<OwnPart | SharedPart, number>();

  /** Adds those of the part's sections to `unsure` that may not be stored. */
  collect(clusterId: string, part: OwnPart | SharedPart, sections: () => Section[], unsure: Unsure): void {
    const now = performance.now();
    if ((this.parts.get(part) ?? 0) > now) return;
    unsure.parts.add(part);
    for (const { hash, members } of sections()) {
      const key = `${clusterId}/${hash.toString('base64url')}`;
      if ((this.sections.get(key) ?? 0) <= now) unsure.sections.set(key, { clusterId, hash, members });
    }
  }

  /** Says that all of these are stored now. */
  remember({ sections, parts }: Unsure): void {
    const until = performance.now() + SURE_MS;
    if (this.sections.size + sections.size > REMEMBERED) this.sections.clear();
    for (const key of sections.keys()) this.sections.set(key, until);
    for (const part of parts) this.parts.set(part, until);
  }
}

/** What a statement is to store, by key, and the parts that are stored by it. */
interface Unsure {
  sections: Map<string, StoredSection>;
  parts: Set<OwnPart | SharedPart>;
}

/** Keeps what nodes are about to be given, so that what a node was told can be read back from then on. */
@Injectable()
export class GenerationKeeper implements OnModuleInit {
  private stored = new StoredSections();
  /** Term and generation that was last kept of each node. */
  private kept = new Map<string, string>();

  constructor(
    private readonly generations: KeptGenerationsRepository,
    private readonly groups: KeptGenerationGroupsRepository,
    private readonly ungrouper: GenerationUngrouper,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    // Perhaps another database, or an older copy of this one. New objects: what is under way tells of the old one.
    this.changes.onGap(() => {
      this.stored = new StoredSections();
      this.kept = new Map();
    });
  }

  /** Durable when it resolves. What is kept already stays as it is: issued again it is the same generation. */
  async keep(snapshots: readonly UnsignedSnapshot[]): Promise<void> {
    const { stored, kept } = this;
    const fresh = snapshots.filter((each) => kept.get(nodeKey(each)) !== version(each));
    if (fresh.length === 0) return;
    const unsure: Unsure = { sections: new Map(), parts: new Set() };
    for (const { clusterId, own, shared } of fresh) {
      stored.collect(clusterId, own, () => own.sections(), unsure);
      stored.collect(clusterId, shared, () => [shared.section], unsure);
    }
    await this.store(fresh, [...unsure.sections.values()]);
    stored.remember(unsure);
    if (kept.size + fresh.length > REMEMBERED) kept.clear();
    for (const each of fresh) kept.set(nodeKey(each), version(each));
  }

  private async store(fresh: readonly UnsignedSnapshot[], sections: readonly StoredSection[]): Promise<void> {
    const group = groupOf(fresh);
    if (group !== null) {
      await this.groups.insert(group, sections);
      this.ungrouper.stored();
      return;
    }
    const generations = fresh.map((each) => ({
      clusterId: each.clusterId,
      nodeId: each.nodeId,
      generation: each.generation,
      authorityTerm: each.shared.content.authorityTerm,
      sectionHashes: sectionHashes(each),
      issuedAt: each.issuedAt,
      expiresAt: each.expiresAt,
    }));
    await this.generations.insert(generations, sections);
  }
}

function nodeKey({ clusterId, nodeId }: UnsignedSnapshot): string {
  return `${clusterId}/${nodeId}`;
}

function version({ shared, generation }: UnsignedSnapshot): string {
  return `${shared.content.authorityTerm}.${generation}`;
}

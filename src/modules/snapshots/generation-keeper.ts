import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { KeptGenerationsRepository, type StoredSection } from './kept-generations.repository.js';
import type { Rendered } from './snapshot-renderer.js';
import { sectionsOf } from './snapshot-sections.js';

/** For how long this instance takes a section for stored without looking; retention leaves it alone for longer. */
const SURE_MS = 12 * 3_600_000;
/** Sections and nodes remembered; a node has a few sections of its own, and the rest is shared. */
const REMEMBERED = 100_000;

/** Keeps what nodes are about to be given, so that what a node was told can be read back from then on. */
@Injectable()
export class GenerationKeeper implements OnModuleInit {
  /** Until when each section is surely stored. */
  private stored = new Map<string, number>();
  /** Term and generation that was last kept of each node. */
  private kept = new Map<string, string>();

  constructor(
    private readonly generations: KeptGenerationsRepository,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    // Perhaps another database, or an older copy of this one. New maps: what is under way tells of the old one.
    this.changes.onGap(() => {
      this.stored = new Map();
      this.kept = new Map();
    });
  }

  /** Durable when it resolves. What is kept already stays as it is: issued again it is the same generation. */
  async keep(rendered: readonly Rendered[]): Promise<void> {
    const { stored, kept } = this;
    const fresh = rendered.filter((each) => kept.get(nodeKey(each)) !== version(each));
    if (fresh.length === 0) return;
    const now = performance.now();
    const unsure = new Map<string, StoredSection>();
    const generations = fresh.map(({ content, generation, issuedAt, expiresAt }) => {
      const { clusterId, nodeId, authorityTerm } = content;
      const sections = sectionsOf(content);
      for (const { hash, members } of sections) {
        const key = `${clusterId}/${hash.toString('base64url')}`;
        if ((stored.get(key) ?? 0) <= now) unsure.set(key, { clusterId, hash, members });
      }
      const sectionHashes = Buffer.concat(sections.map(({ hash }) => hash));
      return { clusterId, nodeId, generation, authorityTerm, sectionHashes, issuedAt, expiresAt };
    });
    await this.generations.insert(generations, [...unsure.values()]);
    if (stored.size + unsure.size > REMEMBERED) stored.clear();
    for (const key of unsure.keys()) stored.set(key, now + SURE_MS);
    if (kept.size + fresh.length > REMEMBERED) kept.clear();
    for (const each of fresh) kept.set(nodeKey(each), version(each));
  }
}

function nodeKey({ content }: Rendered): string {
  return `${content.clusterId}/${content.nodeId}`;
}

function version({ content, generation }: Rendered): string {
  return `${content.authorityTerm}.${generation}`;
}

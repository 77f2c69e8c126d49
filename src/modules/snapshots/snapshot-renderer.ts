import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { type GenerationBase, GenerationsRepository } from './generations.repository.js';
import { issueAt, issueTimes } from './issue.js';
import type { OwnVersion } from './known-parts.js';
import { SnapshotComposer } from './snapshot-composer.js';
import type { NodeContent, SnapshotContent } from './snapshot-content.js';
import { SharedPart } from './snapshot-parts.js';

/** What was rendered for a node. */
export interface Rendered extends OwnVersion {
  content: NodeContent;
  shared: SharedPart;
  generation: number;
  /** Number of its issue. */
  issue: number;
  issuedAt: Date;
  expiresAt: Date;
}

/** The payload that is signed. */
export interface SnapshotPayload extends SnapshotContent {
  generation: number;
  issuedAt: string;
  expiresAt: string;
}

/** Renders what nodes are to do now. */
@Injectable()
export class SnapshotRenderer {
  constructor(
    private readonly composer: SnapshotComposer,
    private readonly generations: GenerationsRepository,
  ) {}

  /**
   * The snapshots of these nodes by node id; one that is no member, or a revoked one, has none.
   * @param asOf when each node asked, by the clock that told it apart from the issue before; never earlier than `tx.now`
   */
  async render(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
    asOf: (nodeId: string) => Date = () => tx.now,
  ): Promise<Map<string, Rendered>> {
    const rendered = new Map<string, Rendered>();
    const composed = await this.composer.compose(tx, clusterId, nodeIds);
    if (composed.length === 0) return rendered;
    const { shared, base, lifetime } = await this.cluster(tx, clusterId);
    for (const { member, content } of composed) {
      if (content === null) continue;
      const { nodeId } = member;
      const issue = issueAt(nodeId, lifetime, later(asOf(nodeId), tx.now));
      const times = issueTimes(issue, later(member.generationChangedAt, base.changedAt), lifetime);
      rendered.set(nodeId, {
        content,
        shared,
        generationCounter: member.generationCounter,
        nodeContentBase: base.nodeContentBase,
        generation: base.base + member.generationCounter,
        issue: issue.number,
        ...times,
      });
    }
    return rendered;
  }

  /** What all snapshots of the cluster share. */
  async shared(tx: ReadTx, clusterId: string): Promise<SharedPart> {
    return (await this.cluster(tx, clusterId)).shared;
  }

  private async cluster(
    tx: ReadTx,
    clusterId: string,
  ): Promise<{ shared: SharedPart; base: GenerationBase; lifetime: number }> {
    const { content, signingKid, snapshotLifetimeSeconds } = await this.composer.cluster(tx, clusterId);
    const base = await this.generations.base(tx, clusterId);
    const shared = new SharedPart(base.base, content, signingKid);
    return { shared, base, lifetime: snapshotLifetimeSeconds };
  }
}

/** The payload of what was rendered. */
export function payloadOf({ content, shared, generation, issuedAt, expiresAt }: Rendered): SnapshotPayload {
  const times = { issuedAt: issuedAt.toISOString(), expiresAt: expiresAt.toISOString() };
  return { ...content, ...shared.content, generation, ...times };
}

function later(one: Date, other: Date): Date {
  return one > other ? one : other;
}

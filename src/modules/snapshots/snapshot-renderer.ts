import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { GenerationsRepository } from './generations.repository.js';
import { issueAt, issueTimes } from './issue.js';
import { SnapshotComposer } from './snapshot-composer.js';
import type { SnapshotContent } from './snapshot-content.js';

/** What was rendered for a node, and what is needed to sign it. */
export interface Rendered {
  content: SnapshotContent;
  generation: number;
  /** Number of its issue. */
  issue: number;
  issuedAt: Date;
  expiresAt: Date;
  signingKid: string;
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
    const cluster = await this.composer.cluster(tx, clusterId);
    const { base, changedAt } = await this.generations.base(tx, clusterId);
    const lifetime = cluster.snapshotLifetimeSeconds;
    for (const { member, content } of composed) {
      if (content === null) continue;
      const { nodeId } = member;
      const issue = issueAt(nodeId, lifetime, later(asOf(nodeId), tx.now));
      const times = issueTimes(issue, later(member.generationChangedAt, changedAt), lifetime);
      rendered.set(nodeId, {
        content: { ...content, ...cluster.content },
        generation: base + member.generationCounter,
        issue: issue.number,
        ...times,
        signingKid: cluster.signingKid,
      });
    }
    return rendered;
  }
}

/** The payload of what was rendered. */
export function payloadOf({ content, generation, issuedAt, expiresAt }: Rendered): SnapshotPayload {
  return { ...content, generation, issuedAt: issuedAt.toISOString(), expiresAt: expiresAt.toISOString() };
}

function later(one: Date, other: Date): Date {
  return one > other ? one : other;
}

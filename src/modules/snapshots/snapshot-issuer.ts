import { Injectable } from '@nestjs/common';
import { CompactSign } from 'jose';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { ClusterKeys } from '../clusters/cluster-keys.js';
import { GenerationsRepository } from './generations.repository.js';
import { issueAt, issueTimes } from './issue.js';
import { SnapshotComposer } from './snapshot-composer.js';
import type { SnapshotContent } from './snapshot-content.js';

/** The payload that is signed. */
export interface SnapshotPayload extends SnapshotContent {
  generation: number;
  issuedAt: string;
  expiresAt: string;
}

/** A payload with what is needed to sign it. */
interface Rendered {
  payload: SnapshotPayload;
  issue: number;
  signingKid: string;
}

/** A snapshot as a node gets it. */
export interface SignedSnapshot {
  jws: string;
  generation: number;
  /** `"<term>.<generation>.<issue>"`: the same on every instance, unchanged by a new token. */
  etag: string;
}

/** Signed snapshots remembered by node; the next issue or generation replaces the last. */
const REMEMBERED = 20_000;

/** Renders and signs snapshots. */
@Injectable()
export class SnapshotIssuer {
  private readonly signed = new Map<string, SignedSnapshot>();

  constructor(
    private readonly transactor: Transactor,
    private readonly composer: SnapshotComposer,
    private readonly generations: GenerationsRepository,
    private readonly keys: ClusterKeys,
  ) {}

  /** The node's current snapshot as data. @throws not_found for a node that is no member, or a revoked one */
  render(clusterId: string, nodeId: string): Promise<Rendered> {
    return this.transactor.read((tx) => this.renderIn(tx, clusterId, nodeId));
  }

  /** The node's current snapshot, signed. @param expected its ETag where it is known, so that a remembered one serves */
  async sign(clusterId: string, nodeId: string, expected: string | null): Promise<SignedSnapshot> {
    const key = `${clusterId}/${nodeId}`;
    const remembered = this.signed.get(key);
    if (remembered !== undefined && remembered.etag === expected) return remembered;
    const { payload, issue, signingKid: kid } = await this.render(clusterId, nodeId);
    const privateKey = await this.keys.privateKey(clusterId, kid);
    const jws = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
      .setProtectedHeader({ alg: 'EdDSA', typ: 'rap-snapshot+jws', kid })
      .sign(privateKey);
    const snapshot = {
      jws,
      generation: payload.generation,
      etag: snapshotEtag(payload.authorityTerm, payload.generation, issue),
    };
    if (this.signed.size >= REMEMBERED) this.signed.clear();
    this.signed.set(key, snapshot);
    return snapshot;
  }

  private async renderIn(tx: ReadTx, clusterId: string, nodeId: string): Promise<Rendered> {
    const [composed] = await this.composer.compose(tx, clusterId, [nodeId]);
    if (composed === undefined || composed.content === null)
      throw notFound('not_found', 'The node has no snapshot.');
    const cluster = await this.composer.cluster(tx, clusterId);
    const { base, changedAt: baseChangedAt } = await this.generations.base(tx, clusterId);
    const { member, content } = composed;
    const changedAt = new Date(Math.max(Number(member.generationChangedAt), Number(baseChangedAt)));
    const issue = issueAt(nodeId, cluster.snapshotLifetimeSeconds, tx.now);
    const { issuedAt, expiresAt } = issueTimes(issue, changedAt, cluster.snapshotLifetimeSeconds);
    const payload = {
      ...content,
      ...cluster.content,
      generation: base + member.generationCounter,
      issuedAt: issuedAt.toISOString(),
      expiresAt: expiresAt.toISOString(),
    };
    return { payload, issue: issue.number, signingKid: cluster.signingKid };
  }
}

/** The ETag of a snapshot, quotes included. */
export function snapshotEtag(term: number, generation: number, issue: number): string {
  return `"${term}.${generation}.${issue}"`;
}

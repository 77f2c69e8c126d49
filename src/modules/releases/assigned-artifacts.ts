import { Injectable } from '@nestjs/common';
import type { NodePrincipal } from '../../common/auth/principal.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { NamedArtifact } from './artifacts.repository.js';

export type { NamedArtifact };

/** Where a node downloads a file that is meant for it. */
export function assignedPath(sha256: string): string {
  return `/api/v1/node-agents/me/artifacts/${sha256}`;
}

/** Which artifacts a node's assignments name now: what it is to install, and what it is to go back to. */
export type AssignedArtifactsSource = (tx: ReadTx, node: NodePrincipal) => Promise<readonly NamedArtifact[]>;

/** Who knows what nodes may download. Nobody: then nodes may download nothing. */
@Injectable()
export class AssignedArtifacts {
  private readonly sources: AssignedArtifactsSource[] = [];

  add(source: AssignedArtifactsSource): void {
    this.sources.push(source);
  }

  async of(tx: ReadTx, node: NodePrincipal): Promise<NamedArtifact[]> {
    const named: NamedArtifact[] = [];
    for (const source of this.sources) named.push(...(await source(tx, node)));
    return named;
  }
}

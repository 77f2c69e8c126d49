import { Injectable } from '@nestjs/common';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { ArtifactsRepository, type ReleaseFile } from './artifacts.repository.js';
import { AssignedArtifacts } from './assigned-artifacts.js';

const SHA256 = /^[0-9a-f]{64}$/;

/** What nodes may download: files of approved, unblocked releases that their assignments name. */
@Injectable()
export class NodeArtifactsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly artifacts: ArtifactsRepository,
    private readonly assigned: AssignedArtifacts,
  ) {}

  /** The same answer for what is not assigned, not approved, blocked and unknown. @throws not_found */
  async find(node: NodePrincipal, sha256: string): Promise<ReleaseFile> {
    if (!SHA256.test(sha256)) throw noSuchArtifact();
    return this.transactor.read(async (tx) => {
      const named = await this.assigned.of(tx, node);
      const file = await this.artifacts.findNamed(tx, sha256, named);
      if (file === null) throw noSuchArtifact();
      return file;
    });
  }
}

function noSuchArtifact() {
  return notFound('not_found', 'No assignment of this node names such a file.');
}

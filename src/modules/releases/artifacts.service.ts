import type { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import { violates } from '../../common/database/postgres-errors.js';
import { conflict, notFound, unavailable } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { ArtifactSpool, digestMismatch } from './artifact-spool.js';
import { ARTIFACT_STORE, type ArtifactStore } from './artifact-store.js';
import { ArtifactsRepository, type ReleaseFile, type ReleasePart } from './artifacts.repository.js';
import { fileEtag } from './file-answers.js';
import { artifactStored, noSuchRelease, requireServable } from './release.js';
import { ReleasesRepository, type ReleaseWhole } from './releases.repository.js';

/** What became of an upload. */
export interface StoredFile {
  file: ReleaseFile;
  /** False: it was there already. */
  isNew: boolean;
}

const SWEPT = ['release_artifacts_stored_sha256_fkey', 'release_migrations_stored_sha256_fkey'];

/** The files of releases, in and out. */
@Injectable()
export class ArtifactsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly releases: ReleasesRepository,
    private readonly artifacts: ArtifactsRepository,
    private readonly spool: ArtifactSpool,
    @Inject(ARTIFACT_STORE) private readonly store: ArtifactStore,
  ) {}

  /**
   * Takes the bytes of a part of a release in, all or none. @param length as the caller announces it
   * @throws not_found; stale; invalid `digest_mismatch`
   */
  async put(
    actor: Actor,
    [product, version]: readonly [string, string],
    part: ReleasePart,
    bytes: Readable,
    length: number | null,
  ): Promise<StoredFile> {
    const { release, file } = await this.transactor.read((tx) => this.get(tx, product, version, part));
    if (length !== null && length !== file.size)
      throw digestMismatch(`The manifest says ${file.size} bytes; Content-Length says ${length}.`);
    const path = await this.spool.receive(bytes, file);
    try {
      await this.artifacts.claim(file);
      await this.store.place(path, file);
    } finally {
      await this.spool.discard(path);
    }
    return this.markStored(actor, release, part);
  }

  /** A file for people, once its release may leave. @throws not_found; conflict `release_not_approved`,
   *  `release_blocked`, `artifact_not_stored` */
  find(product: string, version: string, part: ReleasePart): Promise<ReleaseFile> {
    return this.transactor.read(async (tx) => {
      const { release, file } = await this.get(tx, product, version, part);
      requireServable(release);
      if (file.storedAt === null)
        throw conflict('artifact_not_stored', 'The bytes of this file have not been uploaded yet.');
      return file;
    });
  }

  private async markStored(actor: Actor, release: ReleaseWhole, part: ReleasePart): Promise<StoredFile> {
    try {
      return await this.transactor.mutate<StoredFile>(actor, async (tx) => {
        const { product, version } = release;
        const before = await this.get(tx, product, version, part);
        tx.requireMatch(before.file.storedAt === null ? null : fileEtag(before.file));
        const isNew = await this.artifacts.markStored(tx, release.id, part);
        if (!isNew) return { result: { file: before.file, isNew }, unchanged: true };
        const { file } = await this.get(tx, product, version, part);
        return { result: { file, isNew }, events: [artifactStored(release, part, file)] };
      });
    } catch (error) {
      if (!SWEPT.some((constraint) => violates(error, constraint))) throw error;
      throw unavailable('unavailable', 'The upload took so long that it was swept away; repeat it.', {
        cause: error,
      });
    }
  }

  private async get(
    tx: ReadTx,
    product: string,
    version: string,
    part: ReleasePart,
  ): Promise<{ release: ReleaseWhole; file: ReleaseFile }> {
    const release = await this.releases.find(tx, product, version);
    if (release === null) throw noSuchRelease();
    const file = await this.artifacts.find(tx, release.id, part);
    if (file === null) throw notFound('not_found', 'The manifest of this release names no such file.');
    return { release, file };
  }
}

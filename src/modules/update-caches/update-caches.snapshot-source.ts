import { Injectable } from '@nestjs/common';
import { type SnapshotItem, SnapshotSource } from '../../common/snapshots/snapshot-source.js';
import { SnapshotSources } from '../../common/snapshots/snapshot-sources.js';
import type { SnapshotSubject } from '../../common/snapshots/snapshot-subject.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { CACHE_ROLE, type NearCache, UpdateCachesReadModel } from './update-caches.read-model.js';

/** Why a cache is to mirror a file, and why a node is told of a cache. */
@Injectable()
export class UpdateCachesSnapshotSource extends SnapshotSource {
  constructor(
    sources: SnapshotSources,
    private readonly caches: UpdateCachesReadModel,
  ) {
    super(sources);
  }

  async itemsOf(tx: ReadTx, subject: SnapshotSubject): Promise<SnapshotItem[]> {
    const mirror = subject.member<{ files: readonly { sha256: string }[] } | undefined>('mirror');
    const mirrored = mirror === undefined ? [] : await this.caches.mirrored(tx, subject.clusterId);
    const near = subject.member<readonly NearCache[] | undefined>('updateCaches') ?? [];
    const broughtBy = subject.rolesThat(({ role }) => role === CACHE_ROLE);
    return [
      ...(mirror === undefined ? [] : [{ pointer: '/mirror', causes: [], broughtBy }]),
      ...mirrored.map(({ releaseId, product, version, sha256 }) => ({
        pointer: `/mirror/files/${mirror?.files.findIndex((file) => file.sha256 === sha256)}`,
        causes: [
          {
            resource: { type: 'release', id: releaseId },
            actions: ['release.approved', 'release.unblocked'] as const,
          },
          ...(['stable', 'current', 'candidate'] as const).map((channel) => ({
            resource: { type: 'channel', id: `${product}/${channel}` },
            actions: ['channel.moved'] as const,
            after: { version },
          })),
        ],
        broughtBy,
      })),
      ...near.map(({ nodeId, url }, index) => ({
        pointer: `/updateCaches/${index}`,
        causes: [
          {
            resource: { type: 'update_cache', id: nodeId },
            actions: ['update_cache.moved'] as const,
            after: { url },
          },
        ],
      })),
    ];
  }
}

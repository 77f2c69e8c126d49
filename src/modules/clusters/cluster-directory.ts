import { Injectable } from '@nestjs/common';
import type { ClusterResolver } from '../../common/auth/cluster-resolver.js';
import { Database } from '../../common/database/database.js';
import { isSlug } from '../../common/ids/slug.js';
import { isUuid } from '../../common/ids/uuid.js';
import { ClustersRepository } from './clusters.repository.js';

/** Slugs remembered at the most: an id and its slug never part, so that none is ever stale. */
const REMEMBERED = 10_000;

/** Finds clusters by what paths call them. */
@Injectable()
export class ClusterDirectory implements ClusterResolver {
  private readonly ids = new Map<string, string>();

  constructor(
    private readonly database: Database,
    private readonly clusters: ClustersRepository,
  ) {}

  async resolve(idOrSlug: string): Promise<string | null> {
    const known = this.ids.get(idOrSlug);
    if (known !== undefined) return known;
    const key = isUuid(idOrSlug) ? { id: idOrSlug } : isSlug(idOrSlug) ? { slug: idOrSlug } : null;
    if (key === null) return null;
    const id = await this.clusters.findId((statement) => this.database.query(statement), key);
    if (id !== null) {
      if (this.ids.size >= REMEMBERED) this.ids.clear();
      this.ids.set(idOrSlug, id);
    }
    return id;
  }
}

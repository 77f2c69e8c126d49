import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { clustersWith, type Principal } from '../../common/auth/principal.js';
import { violates } from '../../common/database/postgres-errors.js';
import { conflict, invalid, notFound } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { Labels, Metadata } from '../../common/http/fields.js';
import { mergePatch } from '../../common/http/merge-patch.js';
import { checkMerged } from '../../common/http/merged.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { slugFromName } from '../../common/ids/slug.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { authorityView } from '../authority/authority.js';
import { AuthorityReadModel } from '../authority/authority.read-model.js';
import { AuthorityService } from '../authority/authority.service.js';
import {
  type Cluster,
  type ClusterSettings,
  clusterArchived,
  clusterCreated,
  clusterUpdated,
} from './cluster.js';
import { ClusterArchiving, ClusterCreated } from './cluster-events.js';
import { ClustersRepository } from './clusters.repository.js';
import type { ClusterQuery, ClusterView, CreateCluster, PatchCluster } from './clusters.schema.js';
import { PolicyRepository } from './policy.repository.js';

@Injectable()
export class ClustersService {
  constructor(
    private readonly transactor: Transactor,
    private readonly clusters: ClustersRepository,
    private readonly policies: PolicyRepository,
    private readonly authorities: AuthorityService,
    private readonly authorityOf: AuthorityReadModel,
    private readonly paging: Paging,
  ) {}

  /** Makes a cluster with its authority, its default policy, and what modules above add to it.
   *  @throws conflict `slug_taken`; invalid when no slug can be derived from the name */
  async create(actor: Actor, input: z.infer<typeof CreateCluster>): Promise<ClusterView> {
    const slug = input.slug ?? slugFromName(input.name);
    if (slug === null) {
      const errors = [{ pointer: '#/slug', message: 'No slug can be derived from this name; give one.' }];
      throw invalid('invalid_request', 'The cluster needs a slug.', { errors });
    }
    const { name, region = null, labels = {}, metadata = {} } = input;
    try {
      return await this.transactor.mutate(actor, async (tx) => {
        const id = tx.newId();
        const cluster = await this.clusters.insert(tx, id, slug, { name, region, labels, metadata });
        const authority = await this.authorities.establish(tx, id);
        await this.policies.insert(tx, id);
        await tx.raise(new ClusterCreated(id));
        return {
          result: { ...view(cluster), authority: authorityView(authority) },
          events: [clusterCreated(cluster)],
        };
      });
    } catch (error) {
      if (!violates(error, 'clusters_slug_is_unique')) throw error;
      throw conflict('slug_taken', `The slug ${slug} is taken.`, { cause: error });
    }
  }

  /** @throws not_found */
  get(id: string): Promise<ClusterView> {
    return this.transactor.read((tx) => this.show(tx, id));
  }

  /** The clusters that `principal` may read, newest first. */
  list(principal: Principal, query: z.infer<typeof ClusterQuery>): Promise<Page<ClusterView>> {
    const ids = clustersWith(principal, 'clusters.read');
    return this.transactor.read((tx) => this.page(tx, 'clusters', ids, query));
  }

  /** A page of clusters, newest first. @param kind of the list, to which its cursors belong; @param ids null: all */
  async page(
    tx: ReadTx,
    kind: string,
    ids: readonly string[] | null,
    { limit, cursor, status, q }: z.infer<typeof ClusterQuery>,
  ): Promise<Page<ClusterView>> {
    const filter = { ids, status, q };
    const list = { kind, filters: filter, limit, cursor };
    const rows = await this.clusters.list(tx, filter, this.paging.after(list), limit);
    const authorities = await this.authorityOf.byCluster(
      tx,
      rows.map((row) => row.id),
    );
    const keyOf = (row: Cluster) => [row.createdAt.toISOString(), row.id];
    return this.paging.page(list, rows, keyOf, (row) => withAuthority(row, authorities));
  }

  /** Changes settings by merge patch. @throws not_found; stale */
  patch(actor: Actor, id: string, patch: z.infer<typeof PatchCluster>): Promise<ClusterView> {
    return this.transactor.mutate(actor, async (tx) => {
      const cluster = await this.clusters.lock(tx, id);
      if (cluster === null) throw noSuchCluster();
      const current = await this.show(tx, id);
      tx.requireMatch(contentEtag(current));
      const next = patched(cluster, patch);
      const event = clusterUpdated(cluster, next);
      if (event === null) return { result: current, unchanged: true };
      await this.clusters.update(tx, id, next);
      return { result: await this.show(tx, id), events: [event] };
    });
  }

  /** Archives; for ever. @throws conflict `cluster_not_empty`; stale */
  archive(actor: Actor, id: string): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      // The gate holds the cluster alone: nobody joins between the look and the change.
      const cluster = await this.clusters.lock(tx, id);
      if (cluster === null) throw noSuchCluster();
      await tx.requireMatchOf(async () => contentEtag(await this.show(tx, id)));
      await tx.raise(new ClusterArchiving(id));
      await this.clusters.archive(tx, id);
      return { result: undefined, events: [clusterArchived(cluster)] };
    });
  }

  private async show(tx: ReadTx, id: string): Promise<ClusterView> {
    const cluster = await this.clusters.find(tx, id);
    if (cluster === null) throw noSuchCluster();
    return withAuthority(cluster, await this.authorityOf.byCluster(tx, [id]));
  }
}

type Authorities = Awaited<ReturnType<AuthorityReadModel['byCluster']>>;

function withAuthority(cluster: Cluster, authorities: Authorities): ClusterView {
  const authority = authorities.get(cluster.id);
  if (authority === undefined) throw new Error(`cluster ${cluster.id} has no authority`);
  return { ...view(cluster), authority: authorityView(authority) };
}

function view(cluster: Cluster): Omit<ClusterView, 'authority'> {
  const { id, name, slug, status, region, labels, metadata, createdAt, updatedAt } = cluster;
  const shown = metadata as ClusterView['metadata'];
  return {
    id,
    name,
    slug,
    status,
    region,
    labels,
    metadata: shown,
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}

function patched(cluster: Cluster, patch: z.infer<typeof PatchCluster>): ClusterSettings {
  const { name, region, labels, metadata } = cluster;
  const next = mergePatch({ name, region, labels, metadata }, patch) as Partial<ClusterSettings>;
  const settings = { name, region: null, labels: {}, metadata: {}, ...next };
  checkMerged(Labels, 'labels', settings.labels);
  checkMerged(Metadata, 'metadata', settings.metadata);
  return settings;
}

function noSuchCluster() {
  return notFound('not_found', 'There is no such cluster.');
}

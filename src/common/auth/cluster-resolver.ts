/** Finds the cluster that a path names; bound by the application to the clusters module. */
export interface ClusterResolver {
  /** The id for an id or a slug; null when there is no such cluster. */
  resolve(idOrSlug: string): Promise<string | null>;
}

/** Injection token of the {@link ClusterResolver}. */
export const CLUSTER_RESOLVER = Symbol('ClusterResolver');

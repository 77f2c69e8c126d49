import type { JWK } from 'jose';

/** Knows the public keys by which a cluster's snapshots can be checked; bound by the application. */
export interface JwksProvider {
  jwks(clusterId: string): Promise<{ keys: JWK[] }>;
}

/** Injection token of the {@link JwksProvider}. */
export const JWKS_PROVIDER = Symbol('JwksProvider');

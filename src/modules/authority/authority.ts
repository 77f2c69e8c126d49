import type { AuthorityView } from './authority.schema.js';

/** Whether a cluster's control may spread trust, and under which term. */
export interface Authority {
  clusterId: string;
  state: AuthorityView['state'];
  term: number;
  holder: string;
  since: Date;
}

/** The authority as the API shows it. */
export function authorityView({ state, term, holder, since }: Authority): AuthorityView {
  return { state, term, holder, since: since.toISOString(), partitions: [] };
}

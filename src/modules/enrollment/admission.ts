import { invalid } from '../../common/errors/domain-error.js';
import { jsonPointer } from '../../common/json/json-pointer.js';
import type { RoleName } from '../roles/role-catalogue.js';
import type { JoinToken } from './join-token.js';
import { outsideScope, type ScopedGrant } from './join-token-scope.js';

/** What an approval makes of a request. */
export interface Admission {
  nodeName: string;
  groupId: string | null;
  labels: Record<string, string>;
  /** To be given with it. */
  roles: RoleName[];
}

/** Checks that the token was made for as much. @throws invalid `outside_token_scope` */
export function requireScope({ scope }: JoinToken, grant: ScopedGrant): void {
  const outside = outsideScope(scope, grant);
  if (outside.length === 0) return;
  throw invalid('outside_token_scope', 'The approval gives more than the scope of the join token allows.', {
    errors: outside.map(({ member, detail }) => ({ pointer: jsonPointer([member]), message: detail })),
  });
}

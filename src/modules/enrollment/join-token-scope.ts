import { isRoleName, ROLE_CATALOGUE, type RoleName } from '../roles/role-catalogue.js';

/** What a join token may be used for; an absent member limits nothing. */
export interface JoinTokenScope {
  /** The only roles that may be asked for and given. */
  roles?: RoleName[];
  /** The node group that a node joins into. */
  groupId?: string;
  /** Glob over the node's name: `*` any text, `?` one character. */
  nodeNamePattern?: string;
  /** Roles given by the approval are for this organization alone. */
  organizationId?: string;
}

/** What an approval, or before it a request, would make of a node. */
export interface ScopedGrant {
  nodeName: string;
  roles: readonly string[];
  /** undefined: not asked for; null: no group. */
  groupId?: string | null;
}

/** What of `grant` lies outside the scope, each by the member that says so; empty when nothing does. */
export function outsideScope(
  scope: JoinTokenScope,
  grant: ScopedGrant,
): { member: keyof ScopedGrant; detail: string }[] {
  const outside: { member: keyof ScopedGrant; detail: string }[] = [];
  const { roles, groupId, nodeNamePattern } = scope;
  if (nodeNamePattern !== undefined && !matchesGlob(nodeNamePattern, grant.nodeName)) {
    outside.push({ member: 'nodeName', detail: `The name does not match ${nodeNamePattern}.` });
  }
  const foreign =
    roles === undefined ? [] : grant.roles.filter((role) => !(roles as readonly string[]).includes(role));
  if (foreign.length > 0)
    outside.push({ member: 'roles', detail: `Not among the roles of the token: ${foreign.join(', ')}.` });
  if (groupId !== undefined && grant.groupId !== undefined && grant.groupId !== groupId) {
    outside.push({ member: 'groupId', detail: `The token is for the group ${groupId}.` });
  }
  return outside;
}

/** Whether `pattern` matches the whole of `text`. Linear in practice and never worse than their product: a hostile
 *  pattern cannot stall the service as a regular expression could. */
export function matchesGlob(pattern: string, text: string): boolean {
  let [at, from] = [0, 0];
  let star = -1;
  let resume = 0;
  while (from < text.length) {
    if (pattern[at] === '*') {
      star = at;
      at += 1;
      resume = from;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[from])) {
      at += 1;
      from += 1;
    } else if (star >= 0) {
      // The last star takes one character more.
      at = star + 1;
      resume += 1;
      from = resume;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}

/** The roles that an approval gives when it names none: those that the token was made for and the node asks for and
 *  is able to have. A token without roles gives none, since nothing is granted that nobody named. */
export function defaultRoles(
  scope: JoinTokenScope,
  requestedRoles: readonly string[],
  usableCapabilities: readonly string[],
): RoleName[] {
  return requestedRoles.filter(
    (role): role is RoleName =>
      isRoleName(role) &&
      scope.roles?.includes(role) === true &&
      ROLE_CATALOGUE[role].requiredCapabilities.every((capability) =>
        usableCapabilities.includes(capability),
      ),
  );
}

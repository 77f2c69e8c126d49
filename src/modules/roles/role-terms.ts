import { invalid } from '../../common/errors/domain-error.js';
import type { Tx } from '../../common/transaction/tx.js';
import { type RoleAssignment, type RoleBearer, unmetCapabilities } from './role-assignment.js';
import { ROLE_CATALOGUE, type RoleName } from './role-catalogue.js';

/** What is given, whichever nodes it is given to. */
export type RoleTerms = Pick<
  RoleAssignment,
  'role' | 'organizationId' | 'policy' | 'validFrom' | 'validUntil'
>;

/** The terms as callers write them; what they leave out has no bounds. */
export interface RequestedTerms {
  role: RoleName;
  organizationId?: string | null | undefined;
  policy?: Record<string, unknown> | undefined;
  /** RFC 3339. */
  validFrom?: string | null | undefined;
  validUntil?: string | null | undefined;
}

export function roleTerms({
  role,
  organizationId,
  policy,
  validFrom,
  validUntil,
}: RequestedTerms): RoleTerms {
  return {
    role,
    organizationId: organizationId ?? null,
    policy: policy ?? {},
    validFrom: validFrom == null ? null : new Date(validFrom),
    validUntil: validUntil == null ? null : new Date(validUntil),
  };
}

/** @throws invalid `invalid_request` when the assignment would be over before it begins */
export function requireFuture({ validUntil }: RoleTerms, now: Date): void {
  if (validUntil === null || now < validUntil) return;
  const errors = [{ pointer: '#/validUntil', message: 'Must be in the future.' }];
  throw invalid('invalid_request', 'The assignment would be over before it begins.', { errors });
}

/** What keeps a node from being given the role, with a sentence about it; null when nothing does. */
export function incapacity(
  role: RoleName,
  node: Pick<RoleBearer, 'capabilities' | 'deniedCapabilities'>,
): { missing: string[]; denied: string[]; detail: string } | null {
  const { missing, denied } = unmetCapabilities(ROLE_CATALOGUE[role].requiredCapabilities, node);
  if (missing.length > 0)
    return { missing, denied, detail: `The node does not report ${missing.join(', ')}.` };
  if (denied.length > 0)
    return { missing, denied, detail: `The policy of the cluster denies ${denied.join(', ')}.` };
  return null;
}

/** A new assignment, given now by whoever is at work. */
export function newAssignment(tx: Tx, clusterId: string, nodeId: string, terms: RoleTerms): RoleAssignment {
  return {
    ...terms,
    id: tx.newId(),
    clusterId,
    nodeId,
    status: 'active',
    assignedAt: tx.now,
    assignedBy: { type: tx.actor.type, id: tx.actor.id ?? tx.actor.type },
  };
}

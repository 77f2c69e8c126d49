import type { AuditEvent } from '../../common/audit/audit-event.js';
import { notFound } from '../../common/errors/domain-error.js';

/** A node that is kept on a version of a product. */
export interface VersionPin {
  clusterId: string;
  nodeId: string;
  productId: string;
  product: string;
  releaseId: string;
  version: string;
  reason: string;
  /** Exclusive. */
  expiresAt: Date | null;
  createdByType: string;
  createdById: string;
  createdAt: Date;
}

interface Shape {
  nodeId: string;
  product: string;
  version: string;
  expiresAt: string | null;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'version_pin.set': { before: Shape | null; after: Shape };
    'version_pin.removed': { before: Shape; after: null };
  }
}

export function isInForce({ expiresAt }: Pick<VersionPin, 'expiresAt'>, now: Date): boolean {
  return expiresAt === null || expiresAt > now;
}

export function pinSet(before: VersionPin | null, after: VersionPin): AuditEvent {
  return {
    ...about(after),
    action: 'version_pin.set',
    reason: after.reason,
    before: before === null ? null : shape(before),
    after: shape(after),
  };
}

export function pinRemoved(pin: VersionPin): AuditEvent {
  return { ...about(pin), action: 'version_pin.removed', before: shape(pin), after: null };
}

export function noSuchPin() {
  return notFound('not_found', 'The node is not pinned to a version of this product.');
}

function about({ nodeId, product, clusterId }: VersionPin) {
  const resource = { type: 'version_pin', id: `${nodeId}/${product}`, name: product };
  return { resource, clusterId, outcome: 'success', reason: null } as const;
}

function shape({ nodeId, product, version, expiresAt }: VersionPin): Shape {
  return { nodeId, product, version, expiresAt: expiresAt?.toISOString() ?? null };
}

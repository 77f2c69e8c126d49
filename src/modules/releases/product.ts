import type { AuditEvent } from '../../common/audit/audit-event.js';
import { invalid, notFound } from '../../common/errors/domain-error.js';

export type ProductKind = 'node-agent' | 'workload';

/** What operators say of a product. */
export interface ProductSettings {
  name: string;
  kind: ProductKind;
  /** Whose workloads it brings; null for the agent. */
  serviceType: string | null;
  /** So many different keys must have signed a release. */
  signatureThreshold: number;
}

/** What releases are of. */
export interface Product extends ProductSettings {
  id: string;
  createdAt: Date;
  updatedAt: Date;
}

type Threshold = Pick<ProductSettings, 'signatureThreshold'>;

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'product.created': { before: null; after: ProductSettings };
    'product.updated': { before: Threshold; after: Threshold };
  }
}

export function productCreated(product: Product): AuditEvent {
  const { name, kind, serviceType, signatureThreshold } = product;
  const after = { name, kind, serviceType, signatureThreshold };
  return { ...about(product), action: 'product.created', before: null, after };
}

/** The event of another threshold; null when it is the same. */
export function productUpdated(product: Product, { signatureThreshold }: Threshold): AuditEvent | null {
  if (product.signatureThreshold === signatureThreshold) return null;
  const before = { signatureThreshold: product.signatureThreshold };
  return { ...about(product), action: 'product.updated', before, after: { signatureThreshold } };
}

/** @param signatures by different keys that count
 *  @throws invalid `signature_threshold_not_met` */
export function requireThreshold({ signatureThreshold }: Threshold, signatures: number): void {
  if (signatures >= signatureThreshold) return;
  throw invalid(
    'signature_threshold_not_met',
    `The product wants the signatures of ${signatureThreshold} different keys; there are ${signatures}.`,
    { extensions: { required: signatureThreshold, valid: signatures } },
  );
}

function about({ id, name }: Product) {
  const resource = { type: 'product', id, name };
  return { resource, clusterId: null, outcome: 'success', reason: null } as const;
}

export function noSuchProduct() {
  return notFound('not_found', 'There is no such product.');
}

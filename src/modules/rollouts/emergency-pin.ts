import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict, notFound } from '../../common/errors/domain-error.js';
import type { NodeSelector } from '../nodes/node-selector.js';

/** Which nodes an emergency pin is for: exactly one of these. */
export interface EmergencyScope {
  all?: true | undefined;
  nodeIds?: string[] | undefined;
  selector?: NodeSelector | undefined;
}

/** Why it is over: `rolled_back` where somebody took its rollout back. */
export type EmergencyEnd = 'lifted' | 'expired' | 'blocked' | 'rolled_back';

export const EMERGENCY_PIN_STATUSES = [
  'pending_approval',
  'in_force',
  'lifted',
  'expired',
  'blocked',
  'rolled_back',
] as const;
export type EmergencyPinStatus = (typeof EMERGENCY_PIN_STATUSES)[number];

/** Nodes that are brought to a version at once and kept there, whatever pins and rollouts say. */
export interface EmergencyPin {
  id: string;
  clusterId: string;
  productId: string;
  product: string;
  releaseId: string;
  version: string;
  scope: EmergencyScope;
  reason: string;
  /** Exclusive. */
  expiresAt: Date;
  rolloutId: string;
  createdByType: string;
  createdById: string;
  createdAt: Date;
  activatedAt: Date | null;
  endedAt: Date | null;
  endedBecause: EmergencyEnd | null;
  endReason: string | null;
}

interface Shape {
  product: string;
  version: string;
  scope: EmergencyScope;
  expiresAt: string;
  rolloutId: string;
}
interface StatusShape {
  status: EmergencyPinStatus;
}
type Moved = { before: StatusShape; after: StatusShape };

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'emergency_pin.created': { before: null; after: Shape };
    'emergency_pin.activated': Moved;
    'emergency_pin.lifted': Moved;
    'emergency_pin.expired': Moved;
    'emergency_pin.blocked': Moved;
    'emergency_pin.rolled_back': Moved;
  }
}

const ACTION_OF = {
  lifted: 'emergency_pin.lifted',
  expired: 'emergency_pin.expired',
  blocked: 'emergency_pin.blocked',
  rolled_back: 'emergency_pin.rolled_back',
} as const;

/** Longest time for which an emergency may last: what is to stay longer is rolled out, or pinned node by node. */
export const LONGEST_SECONDS = 30 * 86_400;

type Facts = Pick<EmergencyPin, 'activatedAt' | 'endedAt' | 'endedBecause' | 'expiresAt'>;

/** Its status at `now`. What was written down first stays; who has looked since it expired makes no difference. */
export function emergencyPinStatus(pin: Facts, now: Date): EmergencyPinStatus {
  if (pin.endedBecause !== null) return pin.endedBecause;
  if (pin.expiresAt <= now) return 'expired';
  return pin.activatedAt === null ? 'pending_approval' : 'in_force';
}

/** Since when it is over; null: it is not. */
export function endOf(pin: Facts, now: Date): Date | null {
  if (pin.endedAt !== null) return pin.endedAt;
  return pin.expiresAt <= now ? pin.expiresAt : null;
}

export function emergencyPinCreated(pin: EmergencyPin): AuditEvent {
  const { product, version, scope, expiresAt, rolloutId } = pin;
  const after = { product, version, scope, expiresAt: expiresAt.toISOString(), rolloutId };
  return { ...about(pin), action: 'emergency_pin.created', reason: pin.reason, before: null, after };
}

export function emergencyPinActivated(pin: EmergencyPin): AuditEvent {
  const change = { before: { status: 'pending_approval' }, after: { status: 'in_force' } } as const;
  return { ...about(pin), ...change, action: 'emergency_pin.activated', reason: pin.reason };
}

export function emergencyPinEnded(
  pin: EmergencyPin,
  because: EmergencyEnd,
  reason: string | null,
): AuditEvent {
  const before = { status: pin.activatedAt === null ? 'pending_approval' : 'in_force' } as const;
  return { ...about(pin), action: ACTION_OF[because], reason, before, after: { status: because } };
}

/** The same for what never was and what the caller may not know. */
export function noSuchEmergencyPin() {
  return notFound('not_found', 'There is no such emergency pin in this cluster.');
}

export function emergencyPinIsOver(pin: EmergencyPin, now: Date) {
  const status = emergencyPinStatus(pin, now);
  return conflict('emergency_pin_over', `The emergency pin is over: ${status}.`, { extensions: { status } });
}

function about({ id, product, version, clusterId }: EmergencyPin) {
  // Beyond what is ordinary, whoever writes it down.
  const resource = { type: 'emergency_pin', id, name: `${product} ${version}` };
  return { resource, clusterId, outcome: 'success', highRisk: true } as const;
}

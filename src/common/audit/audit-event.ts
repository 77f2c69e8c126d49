/**
 * Every audit action with the shapes of its `before` and `after`. Each module adds its own by declaration merging, so
 * that an action which nobody declared does not compile. The shapes hold what changed, and no secrets.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled in by declaration merging
export interface AuditActions {}

/** Names of the declared actions, such as `join_token.created`. */
export type AuditAction = keyof AuditActions & string;

/** What an event is about. */
export interface AuditResource {
  type: string;
  id: string | null;
  name: string | null;
}

interface EventOf<A extends AuditAction> {
  action: A;
  resource: AuditResource;
  clusterId: string | null;
  organizationId?: string | null;
  outcome: 'success' | 'denied' | 'failed';
  /** Default: whether the operation of the request is high-risk. */
  highRisk?: boolean;
  reason: string | null;
  before: AuditActions[A] extends { before: infer B } ? B : null;
  after: AuditActions[A] extends { after: infer B } ? B : null;
}

/** One event; actor, request id and time are the transactor's. */
export type AuditEvent = { [A in AuditAction]: EventOf<A> }[AuditAction];

/** What a transaction commits with: at least one event. */
export type AuditEvents = readonly [AuditEvent, ...AuditEvent[]];

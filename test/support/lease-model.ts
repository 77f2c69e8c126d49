/**
 * What the leases of one connection are to do, as a sequential specification: one call after the other, at one instant.
 * Written by the contract, apart from the code that it is held against.
 */

/** Nodes by their place in the test. */
export type NodeName = 0 | 1 | 2;
type Via = 'node' | 'platform';
/** Which token a call names: of the last lease, of the one before, or one that was never given out. */
export type WhichToken = 'last' | 'former' | 'unknown';

export type Call =
  | { kind: 'acquire'; node: NodeName; via: Via }
  | { kind: 'renew' | 'release'; node: NodeName; via: Via; token: WhichToken }
  | { kind: 'fence'; token: WhichToken | null; holdSeconds: number | null }
  | { kind: 'handover'; node: NodeName; reserveSeconds: number }
  | { kind: 'membership' | 'role' | 'allowed'; node: NodeName; isOn: boolean }
  | { kind: 'connection'; isOn: boolean }
  | { kind: 'authority'; isOn: boolean }
  | { kind: 'worker' };

export interface Period {
  node: NodeName;
  token: number;
  status: 'active' | 'released' | 'expired' | 'fenced';
  acquiredAt: number;
  renewedAt: number;
  expiresAt: number;
  endedAt: number | null;
  endReason: string | null;
}

/** Times are milliseconds of the database's clock. */
export interface LeaseModel {
  now: number;
  term: number;
  isAuthoritative: boolean;
  sequence: number;
  ttlSeconds: number;
  isEnabled: boolean;
  nodes: readonly { isActive: boolean; hasRole: boolean; isAllowed: boolean }[];
  /** Oldest first. An active one whose time is over is over. */
  periods: readonly Period[];
  heldUntil: number;
  reservation: { node: NodeName; until: number } | null;
}

/** What an answer says that matters here. */
export interface Said {
  status: number;
  code?: string;
  reasons?: readonly string[];
  token?: number;
  expiresAt?: number;
  releaseRequested?: boolean;
  nextTokenAbove?: number;
}

const SEQUENCES = 2 ** 32;

/** The token that a call names, as the model stands. */
export function tokenOf({ periods, term }: LeaseModel, which: WhichToken): number {
  const unknown = term * SEQUENCES + SEQUENCES / 2;
  return which === 'unknown' ? unknown : (periods.at(which === 'last' ? -1 : -2)?.token ?? unknown);
}

/** The lease that is in force. */
export function inForce({ periods, now }: LeaseModel): Period | null {
  const last = periods.at(-1);
  return last?.status === 'active' && now < last.expiresAt ? last : null;
}

/** One call, with the token that it names. @returns the model afterwards and the answer */
export function step(model: LeaseModel, call: Call, token: number): [LeaseModel, Said] {
  switch (call.kind) {
    case 'acquire':
      return acquire(model, call.node, call.via);
    case 'renew':
      return renew(model, call, token);
    case 'release':
      return release(model, call, token);
    case 'fence':
      return fence(model, call, token);
    case 'handover':
      return handover(model, call.node, call.reserveSeconds);
    case 'membership':
      if (call.isOn && !model.isAuthoritative) return [model, POWERLESS];
      return [settled(withNode(model, call.node, { isActive: call.isOn })), OK];
    case 'role':
      if (call.isOn && !model.isAuthoritative) return [model, POWERLESS];
      return [settled(withNode(model, call.node, { hasRole: call.isOn })), OK];
    case 'allowed':
      return [settled(withNode(model, call.node, { isAllowed: call.isOn })), OK];
    case 'connection':
      return [settled({ ...model, isEnabled: call.isOn }), OK];
    case 'authority': {
      const term = call.isOn ? model.term + 1 : model.term;
      return [{ ...model, isAuthoritative: call.isOn, term }, OK];
    }
    case 'worker':
      return [writtenDown(model), OK];
  }
}

const OK: Said = { status: 200 };
/** What would spread trust is refused while nobody has the authority. */
const POWERLESS: Said = { status: 409, code: 'cluster_not_authoritative' };
const LOST: Said = { status: 409, code: 'lease_lost' };
const ABSENT: Said = { status: 404, code: 'not_found' };

function acquire(model: LeaseModel, node: NodeName, via: Via): [LeaseModel, Said] {
  if (via === 'node' && !model.nodes[node]?.isAllowed) return [model, ABSENT];
  const held = inForce(model);
  if (held?.node === node) return [model, lease(model, held, 200)];
  if (held !== null) return [model, { status: 409, code: 'lease_held', expiresAt: held.expiresAt }];
  const reasons = ineligible(model, node);
  if (reasons.length > 0) return [model, { status: 409, code: 'owner_not_eligible', reasons }];
  if (!model.isAuthoritative) return [model, POWERLESS];
  if (model.now < model.heldUntil || isReservedForAnother(model, node))
    return [model, { status: 409, code: 'takeover_held' }];
  const over = writtenDown(model);
  const sequence = model.sequence + 1;
  const period: Period = {
    node,
    token: model.term * SEQUENCES + sequence,
    status: 'active',
    acquiredAt: model.now,
    renewedAt: model.now,
    expiresAt: model.now + model.ttlSeconds * 1_000,
    endedAt: null,
    endReason: null,
  };
  const next = { ...over, sequence, reservation: null, periods: [...over.periods, period] };
  return [next, lease(next, period, 201)];
}

function renew(
  model: LeaseModel,
  { node, via }: { node: NodeName; via: Via },
  token: number,
): [LeaseModel, Said] {
  const held = inForce(model);
  if (held === null || held.node !== node || held.token !== token) {
    const isAbsent = via === 'node' && !model.nodes[node]?.isAllowed;
    return [model, isAbsent ? ABSENT : LOST];
  }
  const expiresAt = Math.max(held.expiresAt, model.now + model.ttlSeconds * 1_000);
  const renewed = { ...held, renewedAt: model.now, expiresAt };
  const next = withLast(model, renewed);
  return [next, lease(next, renewed, 200)];
}

function release(
  model: LeaseModel,
  { node, via }: { node: NodeName; via: Via },
  token: number,
): [LeaseModel, Said] {
  if (via === 'node' && !model.nodes[node]?.isAllowed) return [model, ABSENT];
  const named = model.periods.find((period) => period.token === token);
  if (named?.status === 'released' && named.node === node)
    return [model, { status: 200, token, expiresAt: named.expiresAt, releaseRequested: false }];
  const held = inForce(model);
  if (held === null || held.token !== token || held.node !== node) return [model, LOST];
  const next = withLast(model, ended(held, 'released', model.now));
  return [next, { status: 200, token, expiresAt: held.expiresAt, releaseRequested: false }];
}

function fence(
  model: LeaseModel,
  { token: which, holdSeconds }: Extract<Call, { kind: 'fence' }>,
  token: number,
): [LeaseModel, Said] {
  const held = inForce(model);
  if (which !== null && held?.token !== token) {
    const last = model.periods.at(-1);
    if (last?.token !== token || last.status !== 'fenced') return [model, LOST];
    return [model, { status: 200, token, nextTokenAbove: model.term * SEQUENCES + model.sequence }];
  }
  const over = held === null ? writtenDown(model) : withLast(model, ended(held, 'fenced', model.now, 'test'));
  const sequence = model.sequence + 1;
  const heldUntil = holdSeconds === null ? model.heldUntil : model.now + holdSeconds * 1_000;
  const said: Said = { status: 200, nextTokenAbove: model.term * SEQUENCES + sequence };
  return [{ ...over, sequence, heldUntil }, held === null ? said : { ...said, token: held.token }];
}

function handover(model: LeaseModel, node: NodeName, reserveSeconds: number): [LeaseModel, Said] {
  if (!model.isAuthoritative) return [model, POWERLESS];
  if (inForce(model)?.node === node) return [{ ...model, reservation: null }, OK];
  const reasons = ineligible(model, node);
  if (reasons.length > 0) return [model, { status: 409, code: 'owner_not_eligible', reasons }];
  return [{ ...model, reservation: { node, until: model.now + reserveSeconds * 1_000 } }, OK];
}

/** After somebody lost something: whoever holds or may follow must still be eligible. */
function settled(model: LeaseModel): LeaseModel {
  const held = inForce(model);
  const reason = held === null ? undefined : ineligible(model, held.node)[0];
  const next =
    held === null || reason === undefined ? model : withLast(model, ended(held, 'fenced', model.now, reason));
  const { reservation } = next;
  const isKept = reservation === null || ineligible(next, reservation.node).length === 0;
  return isKept ? next : { ...next, reservation: null };
}

/** The end of what is over, as a worker would write it down. */
function writtenDown(model: LeaseModel): LeaseModel {
  const last = model.periods.at(-1);
  if (last === undefined || last.status !== 'active' || inForce(model) !== null) return model;
  return withLast(model, ended(last, 'expired', last.expiresAt));
}

function ineligible({ isEnabled, nodes }: LeaseModel, node: NodeName): string[] {
  const { isActive, isAllowed, hasRole } = nodes[node] ?? {
    isActive: false,
    isAllowed: false,
    hasRole: false,
  };
  return [
    ...(isEnabled ? [] : ['connection_disabled']),
    ...(isActive ? [] : ['membership_disabled']),
    ...(isAllowed ? [] : ['not_allowed']),
    ...(hasRole ? [] : ['role_disabled']),
  ];
}

function isReservedForAnother({ reservation, now }: LeaseModel, node: NodeName): boolean {
  return reservation !== null && now < reservation.until && reservation.node !== node;
}

function lease(model: LeaseModel, { node, token, expiresAt }: Period, status: number): Said {
  return { status, token, expiresAt, releaseRequested: isReservedForAnother(model, node) };
}

function withNode(
  model: LeaseModel,
  node: NodeName,
  change: Partial<LeaseModel['nodes'][number]>,
): LeaseModel {
  return { ...model, nodes: model.nodes.map((each, at) => (at === node ? { ...each, ...change } : each)) };
}

function withLast(model: LeaseModel, last: Period): LeaseModel {
  return { ...model, periods: [...model.periods.slice(0, -1), last] };
}

function ended(
  period: Period,
  status: Period['status'],
  endedAt: number,
  endReason: string = status,
): Period {
  return { ...period, status, endedAt, endReason };
}

import type { Operation } from './history.js';

/** A token that was granted without anybody hearing which. */
const UNHEARD = -1;
/** Of a database that a fail-over has set back, nobody knows how far: any earlier lease may be active, or none. */
const FORGOTTEN = -2;

/** What a connection's lease can be, one step after the other. Times are of the database's clock, in milliseconds. */
export interface LeaseState {
  /** Of the active lease; 0: none; negative ones: not known. */
  token: number;
  ownerId: string | null;
  /** NaN: active, but nobody heard until when. */
  expiresAt: number;
  /** No later token is at or below it. */
  above: number;
  /** The database's clock at the last decision under the connection's lock. */
  clock: number;
  /** Tokens whose leases ended by release: releasing them again is fine. */
  released: readonly number[];
}

export const NO_LEASE: LeaseState = {
  token: 0,
  ownerId: null,
  expiresAt: 0,
  above: 0,
  clock: 0,
  released: [],
};

/**
 * What a connection's lease can be once a standby that lagged behind has taken over, with all that was ever known of it.
 * @param above  no token that is granted from now on is at or below it: the term has risen
 * @param clock  of the last decision that had reached the standby
 * @param released  tokens of leases that may have been released
 */
export function forgotten(above: number, clock: number, released: readonly number[]): LeaseState {
  return { token: FORGOTTEN, ownerId: null, expiresAt: Number.NaN, above, clock, released };
}

/** Two states with the same key have the same future. */
export function stateKey({ token, ownerId, expiresAt, above, clock, released }: LeaseState): string {
  return `${token} ${ownerId} ${expiresAt} ${above} ${clock} ${released.join()}`;
}

/**
 * The states that `operation` may lead to, were it to take effect in `state`; none when what was answered cannot be
 * true there. One whose answer was lost has a state here for each effect that it may have had, but none without effect:
 * leaving it out says the same.
 */
export function steps(state: LeaseState, operation: Operation): LeaseState[] {
  if (operation.outcome === 'info') return lostAnswer(state, operation);
  if (operation.outcome === 'fail') return isTrueRefusal(state, operation) ? [state] : [];
  return happened(state, operation);
}

function happened(state: LeaseState, { f, call, answer }: Operation): LeaseState[] {
  const { token = 0, nodeId = null, serverTime = Number.NaN, expiresAt = Number.NaN } = answer;
  if (serverTime < state.clock) return [];
  const timed = { ...state, clock: Number.isNaN(serverTime) ? state.clock : serverTime };
  const isForgotten = state.token === FORGOTTEN;
  switch (f) {
    case 'acquire':
      if (answer.isNew === true) {
        if (mayBeActive(state, serverTime) && !mayBeOver(state, serverTime)) return [];
        return token > state.above ? [{ ...timed, token, ownerId: nodeId, expiresAt, above: token }] : [];
      }
      // A look that decides nothing: it does not come before a decision, and leaves no time behind.
      if (isForgotten) return [{ ...state, token, ownerId: nodeId, expiresAt }];
      if (state.ownerId !== nodeId || !mayBeActive(state, serverTime)) return [];
      if (state.token === UNHEARD)
        return token > state.above ? [{ ...state, token, expiresAt, above: token }] : [];
      return state.token === token ? [{ ...state, expiresAt }] : [];
    case 'renew':
      if (isForgotten && call.token !== undefined)
        return [{ ...timed, token: call.token, ownerId: call.nodeId ?? null, expiresAt }];
      if (state.token !== call.token || !mayBeActive(state, serverTime)) return [];
      return [{ ...timed, expiresAt }];
    case 'release':
      if (call.token !== undefined && state.released.includes(call.token))
        return isForgotten ? [state, ended(timed)] : [state];
      if (!(isForgotten || state.token === call.token) || !mayBeActive(state, serverTime)) return [];
      return [{ ...ended(timed), released: [...state.released, call.token ?? 0] }];
    case 'fence':
      return fenced(timed, answer.ended ?? null, answer.above ?? 0, serverTime);
    case 'revoke':
      if (isForgotten) return [state, ended(state)];
      return [state.ownerId === call.nodeId ? ended(timed) : timed];
  }
}

function fenced(state: LeaseState, endedToken: number | null, above: number, at: number): LeaseState[] {
  if (above < state.above) return [];
  const next = { ...ended(state), above };
  if (state.token === FORGOTTEN) return [next];
  if (endedToken === null) return mayBeActive(state, at) && !mayBeOver(state, at) ? [] : [next];
  if (state.token === UNHEARD) return endedToken > state.above ? [next] : [];
  return state.token === endedToken ? [next] : [];
}

function lostAnswer(state: LeaseState, { f, call }: Operation): LeaseState[] {
  const isActive = state.token !== 0;
  const isForgotten = state.token === FORGOTTEN;
  switch (f) {
    case 'acquire': {
      // A lease that was active must have run out before, which nobody need have looked at.
      const clock = isActive && state.expiresAt > state.clock ? state.expiresAt : state.clock;
      return [{ ...state, token: UNHEARD, ownerId: call.nodeId ?? null, expiresAt: Number.NaN, clock }];
    }
    case 'renew':
      return isActive && state.token === call.token && !Number.isNaN(state.expiresAt)
        ? [{ ...state, expiresAt: Number.NaN }]
        : [];
    case 'release':
      return isActive && (isForgotten || state.token === call.token) && call.token !== undefined
        ? [{ ...ended(state), released: [...state.released, call.token] }]
        : [];
    case 'fence':
      return isActive ? [ended(state)] : [];
    case 'revoke':
      return isActive && (isForgotten || state.ownerId === call.nodeId) ? [ended(state)] : [];
  }
}

/** A refusal changes nothing, but it claims something. Codes that claim nothing of the lease are believed. */
function isTrueRefusal(state: LeaseState, { call, answer }: Operation): boolean {
  const { code, serverTime = Number.NaN, expiresAt = Number.NaN } = answer;
  if (code === 'lease_held') {
    if (state.ownerId === call.nodeId || !mayBeActive(state, serverTime)) return false;
    return Number.isNaN(expiresAt) || Number.isNaN(state.expiresAt) || expiresAt === state.expiresAt;
  }
  if (code === 'lease_lost') {
    if (call.token !== undefined && state.token !== call.token) return true;
    return mayBeOver(state, serverTime);
  }
  return true;
}

function ended(state: LeaseState): LeaseState {
  return { ...state, token: 0, ownerId: null, expiresAt: 0 };
}

/** Whether the lease can be active at `at`; an unknown time refutes nothing. */
function mayBeActive({ token, expiresAt }: LeaseState, at: number): boolean {
  return token !== 0 && !(at >= expiresAt);
}

/** Whether there can be no active lease at `at`. */
function mayBeOver({ token, expiresAt }: LeaseState, at: number): boolean {
  return token === 0 || !(at < expiresAt);
}

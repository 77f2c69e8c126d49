import { addressRangeText, readAddressRange } from '../../common/net/address-range.js';

/**
 * What may be reached through a connection. Lower priorities come first; at one priority the longest prefix decides,
 * and what no policy names is denied.
 */
export interface RoutePolicy {
  /** Without bits beyond the prefix; the same text for all spellings of a network. */
  cidr: string;
  action: 'allow' | 'deny';
  priority: number;
}

/** A policy that another one holds, by their places in the list: worth a look, and no fault. */
export interface RouteOverlap {
  position: number;
  within: number;
}

/** What is wrong with one policy, given those before it. */
export interface RouteFault {
  position: number;
  message: string;
}

/** The policies with their networks as everybody writes them. Expects ranges that were checked. */
export function canonicalRoutes(policies: readonly RoutePolicy[]): RoutePolicy[] {
  return policies.map(({ cidr, action, priority }) => {
    const range = readAddressRange(cidr);
    if ('fault' in range) throw new Error(`no range: ${range.fault}`);
    return { cidr: addressRangeText(range), action, priority };
  });
}

/**
 * Policies that name a network a second time at one priority: with the same action for nothing, with the other one so
 * that nobody could say what holds. A range that cannot be read is left to whoever checks it.
 */
export function routeFaults(policies: readonly RoutePolicy[]): RouteFault[] {
  const first = new Map<string, { position: number; action: string }>();
  return policies.flatMap(({ cidr, action, priority }, position) => {
    const range = readAddressRange(cidr);
    if ('fault' in range) return [];
    const key = `${priority} ${addressRangeText(range)}`;
    const known = first.get(key);
    if (known === undefined) {
      first.set(key, { position, action });
      return [];
    }
    const other = `#/routePolicies/${known.position}`;
    const message =
      known.action === action
        ? `The same network at the same priority as ${other}.`
        : `Contradicts ${other}, which has the other action for this network at the same priority.`;
    return [{ position, message }];
  });
}

/** What a reader of the policies should know of an overlap. */
export function overlapMessage(policies: readonly RoutePolicy[], { position, within }: RouteOverlap): string {
  const text = (at: number) => {
    const policy = policies[at];
    return policy === undefined ? '' : `${policy.action} ${policy.cidr} at priority ${policy.priority}`;
  };
  return `${text(position)} overlaps with ${text(within)}: lower priorities come first, then longer prefixes.`;
}

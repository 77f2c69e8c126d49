import { isCount, isObject, isText } from '../json-values.js';

/** One rule for what may pass a tunnel. */
export interface RoutePolicy {
  cidr: string;
  action: 'allow' | 'deny';
  priority: number;
}

/** A VPN connection that this node may run, as a snapshot carries it. Whether it does is a matter of the lease. */
export interface VpnAssignment {
  connectionId: string;
  name: string;
  kind: 'exit' | 'connector';
  desiredState: 'enabled' | 'disabled';
  leaseTtlSeconds: number;
  routePolicies: readonly RoutePolicy[];
}

/** The role that lets a node run connections of a kind. */
export const ROLE_OF_KIND = { exit: 'vpn-exit', connector: 'vpn-connector' } as const;

/** Names files and parts of URLs, so nothing else is taken. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Reads a snapshot's `vpnAssignments`; null when it is no list. An entry in words that this agent does not know is left
 * out: a connection that it cannot understand it must not run, and another one need not wait for that.
 */
export function parseVpnAssignments(value: unknown): VpnAssignment[] | null {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return null;
  const read = value.map(parseAssignment).filter((assignment) => assignment !== null);
  return [...new Map(read.map((assignment) => [assignment.connectionId, assignment])).values()];
}

function parseAssignment(value: unknown): VpnAssignment | null {
  if (!isObject(value)) return null;
  const { connectionId, name, kind, desiredState, leaseTtlSeconds, routePolicies } = value;
  if (!isText(connectionId) || !ID.test(connectionId) || !isText(name)) return null;
  if (kind !== 'exit' && kind !== 'connector') return null;
  if (desiredState !== 'enabled' && desiredState !== 'disabled') return null;
  if (!isCount(leaseTtlSeconds) || leaseTtlSeconds === 0 || !Array.isArray(routePolicies)) return null;
  const routes = routePolicies.map(parseRoute);
  // A tunnel with some of its rules missing may let through what nobody allowed.
  if (!routes.every((route) => route !== null)) return null;
  return { connectionId, name, kind, desiredState, leaseTtlSeconds, routePolicies: routes };
}

function parseRoute(value: unknown): RoutePolicy | null {
  if (!isObject(value)) return null;
  const { cidr, action, priority } = value;
  if (!isText(cidr) || (action !== 'allow' && action !== 'deny') || !isCount(priority)) return null;
  return { cidr, action, priority };
}

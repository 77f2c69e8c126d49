import { BlockList, isIP } from 'node:net';

/** What was seen of the host, as far as capabilities depend on it. */
export interface HostTraits {
  /** `/dev/net/tun` is there. */
  tunDevice: boolean;
  /** This process holds CAP_NET_ADMIN. */
  netAdmin: boolean;
  /** A container runtime whose socket this process may use, or null. */
  containerRuntime: string | null;
  /** Addresses of interfaces other than loopback. */
  addresses: readonly string[];
  hasDefaultRoute: boolean;
}

const PRIVATE = new BlockList();
PRIVATE.addSubnet('10.0.0.0', 8);
PRIVATE.addSubnet('172.16.0.0', 12);
PRIVATE.addSubnet('192.168.0.0', 16);
PRIVATE.addSubnet('100.64.0.0', 10); // shared address space, RFC 6598
PRIVATE.addSubnet('fc00::', 7, 'ipv6'); // unique local, RFC 4193

/** Each capability of the contract that an agent reports, with what the host must show for it. */
const RULES: Record<string, (traits: HostTraits) => boolean> = {
  can_accept_client_ingress: isReachable,
  can_accept_node_ingress: isReachable,
  can_route_mesh: isReachable,
  can_egress_internet: (traits) => traits.hasDefaultRoute,
  can_egress_private_network: (traits) => traits.addresses.some(isPrivate),
  can_run_rdp_worker: hasRuntime,
  can_run_vnc_worker: hasRuntime,
  can_run_ssh_worker: hasRuntime,
  can_run_vpn_exit: canTunnel,
  can_run_vpn_connector: canTunnel,
  can_run_file_cache: isReachable,
  can_run_update_cache: isReachable,
  can_run_video_relay: isReachable,
};

/** The capabilities that `traits` allow, sorted. They are an upper bound; roles say what a node may do. */
export function capabilitiesOf(traits: HostTraits): string[] {
  const able = Object.entries(RULES).filter(([, holds]) => holds(traits));
  return able.map(([name]) => name).sort();
}

function isReachable(traits: HostTraits): boolean {
  return traits.addresses.length > 0;
}

function canTunnel(traits: HostTraits): boolean {
  return traits.tunDevice && traits.netAdmin;
}

function hasRuntime(traits: HostTraits): boolean {
  return traits.containerRuntime !== null;
}

function isPrivate(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && PRIVATE.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

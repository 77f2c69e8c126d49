import { join } from 'node:path';
import type { AgentSession } from '../agent-session.js';
import { ApiClient } from '../api-client.js';
import { NodeApi } from '../node-api.js';
import type { TokenSource } from '../token-source.js';
import { AssignmentReporter } from './assignment-reporter.js';
import { readDriverConfig } from './driver-config.js';
import { HostDrivers } from './host-drivers.js';
import { SteadyClock } from './steady-clock.js';
import { TokenMemory } from './token-memory.js';
import { TunnelRecords } from './tunnel-record.js';
import { VpnKeeper } from './vpn-keeper.js';

/** In the state directory; without it no connection is run. */
export const DRIVER_FILE = 'vpn-driver.json';

/** What keeps the leases of this node and runs their drivers. @throws AgentFailure when the driver's file is wrong */
export async function vpnKeeperFor(
  { store, log, clock: serverClock, stop }: AgentSession,
  node: { nodeId: string; clusterId: string },
  baseUrl: string,
  tokens: TokenSource,
  api: NodeApi,
): Promise<VpnKeeper> {
  const directory = join(store.directory, 'vpn');
  const clock = new SteadyClock();
  const config = await readDriverConfig(join(store.directory, DRIVER_FILE));
  const drivers = new HostDrivers(node, config, new TunnelRecords(directory), clock, log);
  return new VpnKeeper(drivers, {
    api,
    parting: new NodeApi(new ApiClient(baseUrl, new AbortController().signal), tokens),
    clock,
    serverClock,
    tokensSeen: await TokenMemory.open(directory, 'tokens.json'),
    givenBack: await TokenMemory.open(directory, 'given-back.json'),
    reporter: new AssignmentReporter(api, log, stop.signal),
    log,
  });
}

import type { Log } from '../log.js';
import { isRunning, processRow } from '../process-table.js';
import { pause } from '../waiting.js';
import { CommandDriver } from './command-driver.js';
import type { DriverConfig } from './driver-config.js';
import { takeDown } from './driver-guard.js';
import { SimulatedDriver } from './simulated-driver.js';
import type { SteadyClock } from './steady-clock.js';
import type { TunnelRecord, TunnelRecords } from './tunnel-record.js';
import type { VpnAssignment } from './vpn-assignment.js';
import type { VpnDriver, VpnDrivers } from './vpn-driver.js';

/** Between looks at a guard that an agent before this one has left; it takes its tunnel down by itself. */
const LOOK_MS = 50;

/** The drivers that the host's configuration names; none where there is no configuration. */
export class HostDrivers implements VpnDrivers {
  constructor(
    private readonly node: { clusterId: string; nodeId: string },
    private readonly config: DriverConfig | null,
    private readonly records: TunnelRecords,
    private readonly clock: SteadyClock,
    private readonly log: Log,
  ) {}

  driverFor(_assignment: VpnAssignment): VpnDriver | null {
    const { node, config, records, clock, log } = this;
    if (config === null) return null;
    if (config.driver === 'simulated') return new SimulatedDriver(node.nodeId, config, clock);
    return new CommandDriver(node, config, records, clock, log);
  }

  async clearLeftovers(): Promise<void> {
    await this.records.prepare();
    await Promise.all((await this.records.all()).map((record) => this.clear(record)));
  }

  private async clear(record: TunnelRecord): Promise<void> {
    const { connectionId, guard } = record;
    this.log.warn('vpn.leftover', { connectionId });
    while (guard !== null && isAlive(guard)) await pause(LOOK_MS, new AbortController().signal);
    await takeDown(record, (detail) => this.log.error('vpn.stop_failed', { connectionId, detail }));
    await this.records.remove(connectionId);
  }
}

function isAlive({ pid, started }: { pid: number; started: string }): boolean {
  const row = processRow(pid);
  return row !== null && row.started === started && isRunning(row);
}

import { type Api } from '../api.js';
import { type ControlPlane, startControlPlane } from '../control-plane.js';
import { created } from '../given.js';
import { RolloutLog } from './rollout-log.js';

const limits = { principalPerMinute: 1e6, nodePerMinute: 1e6, unknownCredentialsPerMinute: 1e6 };
/** The real clock must not catch up with the one that tests set. */
const AHEAD_SECONDS = 40_000;

/** Two instances on one database, in which all that happens to rollouts is written down by the test. Their ticks come when
 *  the test says so. */
export class HttpFabric {
  private constructor(
    readonly instances: readonly [ControlPlane, ControlPlane],
    readonly log: RolloutLog,
    /** Of another person than the one who makes rollouts. */
    readonly approver: Api,
  ) {}

  static async open(): Promise<HttpFabric> {
    const first = await startControlPlane({ config: { limits, role: 'api' } });
    const second = await startControlPlane({ beside: first, config: { limits, role: 'api' } });
    const log = await RolloutLog.watch(first);
    const input = { name: 'approver', role: 'platform-operator' };
    const { token } = created(await first.api.post('/api-tokens', input)) as { token: string };
    const fabric = new HttpFabric([first, second], log, first.api.as(token));
    await fabric.pass(AHEAD_SECONDS);
    return fabric;
  }

  at(index: number): ControlPlane {
    return this.instances[index % 2] as ControlPlane;
  }

  /** Time stands still otherwise. */
  async pass(seconds: number): Promise<void> {
    await this.query('UPDATE database_clock SET recorded_at = fabric_now() + make_interval(secs => $1)', [
      seconds,
    ]);
  }

  query<T = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
    return this.instances[0].database.query<T>(text, values);
  }

  async close(): Promise<void> {
    for (const instance of [...this.instances].reverse()) await instance.close();
  }
}

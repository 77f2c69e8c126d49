import type { HealthCheck, RestartPolicy } from '../../agent/snapshot-workload.js';
import {
  advance,
  type Effect,
  newService,
  type ServiceEvent,
  type ServiceState,
} from '../../agent/supervisor/service-machine.js';
import type { Launch, Order, RestOrder, RunOrder } from '../../agent/supervisor/service-order.js';
import { reportOf } from '../../agent/supervisor/service-report.js';

export const policy: RestartPolicy = {
  mode: 'always',
  initialDelaySeconds: 2,
  maxDelaySeconds: 60,
  resetAfterSeconds: 600,
};
export const check = {
  type: 'tcp',
  port: 1,
  intervalSeconds: 10,
  timeoutSeconds: 1,
  failureThreshold: 3,
} as const satisfies HealthCheck;
export const rest: RestOrder = { kind: 'rest', reportedState: 'stopped', version: null, message: null };

/** The order to run something; of another key it is another process. */
export function run(change: Partial<RunOrder> = {}, key = 'a'): RunOrder {
  const launch: Launch = {
    key,
    serviceType: 'relay-node',
    command: ['/bin/relay'],
    env: {},
    cwd: null,
    stopSignal: 'SIGTERM',
    stopTimeoutMs: 1_000,
    version: '1.0.0',
    config: {},
    secretRefs: {},
  };
  return { kind: 'run', launch, check: null, restart: policy, ...change };
}

/** A service with a clock that the test moves. */
export class Bench {
  state: ServiceState = newService('none');
  effects: readonly Effect[] = [];
  now = 1_000;
  private ids = 0;

  send(event: ServiceEvent): this {
    this.ids += 1;
    ({ state: this.state, effects: this.effects } = advance(this.state, event, {
      now: this.now,
      newId: `id-${this.ids}`,
    }));
    return this;
  }

  order = (order: Order): this => this.send({ kind: 'ordered', order });
  started = (): this => this.send({ kind: 'started' });
  exited = (): this => this.send({ kind: 'exited' });
  ends = (isSuccess = false): this => this.send({ kind: 'ended', ending: { isSuccess, text: 'ended' } });
  passes(ms: number): this {
    this.now += ms;
    return this.send({ kind: 'tick' });
  }

  checked(complaint: string | null, checkRound = this.round): this {
    return this.send({ kind: 'checked', instanceId: this.state.instanceId, checkRound, complaint });
  }

  get round(): number {
    return this.state.phase.at === 'live' ? this.state.phase.checkRound : -1;
  }

  get reported(): string {
    const { reportedState, health } = reportOf('relay-node', this.state);
    return `${reportedState} ${health}`;
  }

  get message(): string | null {
    return reportOf('relay-node', this.state).message;
  }
}

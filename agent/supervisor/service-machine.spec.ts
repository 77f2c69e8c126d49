import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { HealthCheck, RestartPolicy } from '../snapshot-workload.js';
import {
  advance,
  type Effect,
  newService,
  SETTLING_MS,
  type ServiceEvent,
  type ServiceState,
  wakeAt,
} from './service-machine.js';
import type { CheckOrder, Launch, Order, RestOrder, RunOrder } from './service-order.js';
import { reportOf } from './service-report.js';

const policy: RestartPolicy = {
  mode: 'always',
  initialDelaySeconds: 2,
  maxDelaySeconds: 60,
  resetAfterSeconds: 600,
};
const check: HealthCheck = {
  type: 'tcp',
  port: 1,
  intervalSeconds: 10,
  timeoutSeconds: 1,
  failureThreshold: 3,
};
const rest: RestOrder = { kind: 'rest', reportedState: 'stopped', version: null, message: null };

function run(change: Partial<RunOrder> = {}, key = 'a'): RunOrder {
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
class Bench {
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

const bench = (): Bench => new Bench();
const running = (order = run()): Bench => bench().order(order).started().passes(SETTLING_MS);

describe('a service', () => {
  it('starts when it is ordered, and runs once its process has lived for a moment', () => {
    const service = bench().order(run());
    expect(service.effects).toEqual(['start']);
    expect(service.reported).toBe('starting unknown');
    service.started().passes(SETTLING_MS - 1);
    expect(service.reported).toBe('starting unknown');
    service.passes(1);
    expect(service.reported).toBe('running unknown');
    expect(wakeAt(service.state)).toBeNull();
  });

  it('never runs before its process is there, however long that takes', () => {
    expect(bench().order(run()).passes(60_000).reported).toBe('starting unknown');
  });

  it('is asked to stop in the step that says so, once, and has stopped when its process is gone', () => {
    const service = running().order(rest);
    expect(service.effects).toEqual(['stop']);
    expect(service.reported).toBe('stopping unknown');
    expect(service.order(rest).effects).toEqual([]);
    expect(service.ends().effects).toEqual([]);
    expect(service.reported).toBe('stopped unknown');
  });

  it('is stopped also while it starts', () => {
    const service = bench().order(run()).order(rest);
    expect(service.effects).toEqual(['stop']);
    expect(service.started().passes(SETTLING_MS).reported).toBe('stopping unknown');
  });

  it('is another process, with another id, when what it runs changes; never both at once', () => {
    const service = running();
    const { instanceId } = service.state;
    expect(service.order(run({}, 'b')).effects).toEqual(['stop']);
    expect(service.ends().effects).toEqual(['start']);
    expect(service.state.instanceId).not.toBe(instanceId);
  });

  it('stays the same process when only policy or check change', () => {
    const restart: RestartPolicy = { ...policy, mode: 'never' };
    expect(running().order(run({ restart, check: { make: check } })).effects).toEqual([]);
  });

  it('starts at once when it is wanted again before it has stopped', () => {
    const service = running().order(rest).order(run());
    expect(service.effects).toEqual([]);
    expect(service.ends().effects).toEqual(['start']);
  });

  it('comes back after growing delays when it ends by itself', () => {
    const service = running();
    for (const delay of [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      expect(service.ends().reported).toBe('failed unknown');
      expect(service.message).toBe(`ended; next start ${delay / 1_000} s after that`);
      expect(service.passes(delay - 1).effects).toEqual([]);
      expect(service.passes(1).effects).toEqual(['start']);
      service.started().passes(SETTLING_MS);
    }
  });

  it('begins with the first delay again after it has lasted', () => {
    const service = running().ends().passes(2_000).started().passes(SETTLING_MS);
    service.passes(600_000).ends();
    expect(wakeAt(service.state)).toBe(service.now + 2_000);
  });

  it.each<[RestartPolicy['mode'], boolean, string, boolean]>([
    ['always', false, 'failed', true],
    ['always', true, 'failed', true],
    ['on_failure', false, 'failed', true],
    ['on_failure', true, 'stopped', false],
    ['never', false, 'failed', false],
    ['never', true, 'stopped', false],
  ])(
    'under "%s", having ended with success %p, is %s and comes back: %p',
    (mode, isSuccess, state, comesBack) => {
      const service = running(run({ restart: { ...policy, mode } })).ends(isSuccess);
      expect(service.reported).toBe(`${state} unknown`);
      expect(service.passes(3_600_000).effects).toEqual(comesBack ? ['start'] : []);
    },
  );

  it('that has ended for good starts when what it runs changes, or the policy does', () => {
    const never = run({ restart: { ...policy, mode: 'never' } });
    expect(running(never).ends().order(never).effects).toEqual([]);
    expect(
      running(never)
        .ends()
        .order({ ...never, launch: run({}, 'b').launch }).effects,
    ).toEqual(['start']);
    expect(running(never).ends().order(run()).passes(2_000).effects).toEqual(['start']);
    expect(running().ends().order(never).passes(3_600_000).effects).toEqual([]);
  });

  it('that waits for its next start gives that up when it is no longer wanted', () => {
    const service = running().ends().order(rest);
    expect(service.reported).toBe('stopped unknown');
    expect(service.passes(3_600_000).effects).toEqual([]);
  });
});

describe('a service with a health check', () => {
  const checked = run({ check: { make: check } });
  const well = (order = checked): Bench => bench().order(order).started().passes(1_000).checked(null);

  it('runs from its first good check on, and is then checked at its interval', () => {
    const service = bench().order(checked).started().passes(999);
    expect(service.effects).toEqual([]);
    expect(service.passes(1).effects).toEqual(['check']);
    expect(service.reported).toBe('starting unknown');
    expect(service.checked(null).reported).toBe('running healthy');
    expect(service.passes(9_999).effects).toEqual([]);
    expect(service.passes(1).effects).toEqual(['check']);
  });

  it('is checked once at a time', () => {
    const service = bench().order(checked).started().passes(1_000);
    expect(service.passes(60_000).effects).toEqual([]);
  });

  it('may take as long to come up as a running one may be ill', () => {
    const service = bench().order(checked).started();
    for (let second = 1; second < 30; second += 1) {
      expect(service.passes(1_000).effects).toEqual(['check']);
      expect(service.checked('refused').reported).toBe('starting unknown');
    }
    expect(service.passes(1_000).checked('refused').effects).toEqual(['stop']);
    expect(service.reported).toBe('degraded unhealthy');
  });

  it('is degraded after so many failures in a row, restarted, and said to be so', () => {
    const service = well();
    const fail = (): Bench => service.passes(10_000).checked('refused');
    expect([fail().reported, fail().reported]).toEqual(['running healthy', 'running healthy']);
    expect(fail().effects).toEqual(['stop']);
    expect([service.reported, service.message]).toEqual(['degraded unhealthy', 'refused']);
    expect(service.ends(true).reported).toBe('failed unknown');
    expect(service.message).toBe('was unhealthy: refused; next start 2 s after that');
    expect(service.passes(2_000).effects).toEqual(['start']);
  });

  it('counts failures in a row only', () => {
    const service = well();
    for (let round = 0; round < 5; round += 1) {
      service
        .passes(10_000)
        .checked('refused')
        .passes(10_000)
        .checked('refused')
        .passes(10_000)
        .checked(null);
    }
    expect(service.reported).toBe('running healthy');
  });

  it('stays as it is when it is never to be restarted, and may recover', () => {
    const service = well({ ...checked, restart: { ...policy, mode: 'never' } });
    for (let round = 0; round < 4; round += 1) service.passes(10_000).checked('refused');
    expect([service.reported, service.effects]).toEqual(['degraded unhealthy', []]);
    expect(service.passes(10_000).checked(null).reported).toBe('running healthy');
  });

  it('does not come back from a stop for illness when it is no longer wanted', () => {
    const service = well();
    for (let round = 0; round < 3; round += 1) service.passes(10_000).checked('refused');
    expect(service.order(rest).effects).toEqual([]);
    expect([service.reported, service.ends().effects]).toEqual(['stopping unhealthy', []]);
    expect(service.passes(3_600_000).effects).toEqual([]);
  });

  it('ignores the answer to a check of another process or of an older order', () => {
    const service = well();
    const { instanceId } = service.state;
    service.order(run({ check: { make: { ...check, port: 2 } } }));
    expect(service.checked(null, 0).reported).toBe('running unknown');
    service.ends().passes(2_000).started();
    service.send({ kind: 'checked', instanceId, checkRound: 0, complaint: null });
    expect(service.reported).toBe('starting unknown');
  });

  it('is degraded, of unknown health, where the host cannot make the check', () => {
    const service = running(run({ check: { impossible: 'not allowed here' } }));
    expect([service.reported, service.message]).toEqual(['degraded unknown', 'not allowed here']);
  });
});

describe('any service, whatever happens', () => {
  const modes = fc.constantFrom<RestartPolicy['mode']>('always', 'on_failure', 'never');
  const restarts = fc.record({
    mode: modes,
    initialDelaySeconds: fc.constantFrom(0, 1, 5),
    maxDelaySeconds: fc.constantFrom(0, 3, 60),
    resetAfterSeconds: fc.constantFrom(0, 10, 600),
  });
  const checks = fc.constantFrom<CheckOrder | null>(null, { make: check }, { impossible: 'no' });
  const keys = fc.constantFrom('a', 'b');
  const orders = fc.oneof(
    fc.constant<Order>(rest),
    fc.tuple(keys, restarts, checks).map(([key, restart, made]): Order => run({ restart, check: made }, key)),
  );
  const happenings = fc.oneof(
    { weight: 4, arbitrary: orders.map((order) => ({ kind: 'order' as const, order })) },
    {
      weight: 4,
      arbitrary: fc
        .constantFrom(1, 400, 1_000, 10_000, 700_000)
        .map((ms) => ({ kind: 'pass' as const, ms: ms as number })),
    },
    { weight: 2, arbitrary: fc.constant({ kind: 'process comes up' as const }) },
    { weight: 2, arbitrary: fc.boolean().map((isSuccess) => ({ kind: 'process ends' as const, isSuccess })) },
    {
      weight: 2,
      arbitrary: fc.constantFrom('refused', null).map((complaint) => ({ kind: 'check' as const, complaint })),
    },
  );
  type Happening = typeof happenings extends fc.Arbitrary<infer T> ? T : never;

  const leastDelayMs = ({ restart }: RunOrder): number => Math.max(100, restart.initialDelaySeconds * 1_000);

  /** The host as far as one service is concerned: what runs, and what it was asked to do. */
  class Host {
    readonly service = new Bench();
    processes: { key: string; isUp: boolean; isAskedToStop: boolean }[] = [];
    /** The last end that was the process's own, and the least delay of the policies in force since then. */
    private ownEnd: { at: number; leastMs: number; key: string } | null = null;

    happen(what: Happening): void {
      const [process] = this.processes;
      switch (what.kind) {
        case 'order':
          this.service.order(what.order);
          break;
        case 'pass':
          this.service.passes(what.ms);
          break;
        case 'check':
          if (process?.isUp !== true) return;
          this.service.checked(what.complaint);
          break;
        case 'process comes up':
          if (process === undefined || process.isUp) return;
          process.isUp = true;
          this.service.started();
          break;
        case 'process ends':
          if (process === undefined) return;
          this.processes = [];
          this.remember(process.isAskedToStop);
          this.service.ends(what.isSuccess);
          break;
      }
      for (const effect of this.service.effects) this.perform(effect);
      this.inspect();
    }

    private remember(isAskedToStop: boolean): void {
      const { order, phase } = this.service.state;
      const isIll = phase.at === 'live' && phase.isUnhealthyStop;
      const isOwn = !isAskedToStop || isIll;
      const isSameOrder = order.kind === 'run' && phase.at === 'live' && order.launch.key === phase.key;
      const at = this.service.now;
      this.ownEnd = isOwn && isSameOrder ? { at, leastMs: leastDelayMs(order), key: order.launch.key } : null;
    }

    private perform(effect: Effect): void {
      const { order } = this.service.state;
      const [process] = this.processes;
      if (effect === 'start') {
        expect(this.processes).toEqual([]); // never two
        if (order.kind !== 'run') throw new Error('started though it is not wanted');
        this.assertDelay(order);
        this.processes.push({ key: order.launch.key, isUp: false, isAskedToStop: false });
      }
      if (effect === 'stop') {
        expect(process).toMatchObject({ isAskedToStop: false });
        if (process !== undefined) process.isAskedToStop = true;
      }
      if (effect === 'check') expect(process?.isUp).toBe(true);
    }

    /** After an end of its own the same thing starts no sooner than the policy allows. */
    private assertDelay(order: RunOrder): void {
      const { ownEnd } = this;
      this.ownEnd = null;
      if (ownEnd === null || ownEnd.key !== order.launch.key) return;
      expect(order.restart.mode).not.toBe('never');
      expect(this.service.now - ownEnd.at).toBeGreaterThanOrEqual(ownEnd.leastMs);
    }

    private inspect(): void {
      const { order, phase } = this.service.state;
      const [process] = this.processes;
      expect(this.processes.length).toBe(phase.at === 'live' ? 1 : 0);
      if (order.kind === 'rest') this.ownEnd = null;
      else if (this.ownEnd !== null) {
        this.ownEnd.leastMs = Math.min(this.ownEnd.leastMs, leastDelayMs(order));
      }
      if (process !== undefined && order.kind === 'rest') expect(process.isAskedToStop).toBe(true);
      if (process !== undefined && order.kind === 'run' && order.launch.key !== process.key) {
        expect(process.isAskedToStop).toBe(true);
      }
      const { reportedState } = reportOf('relay-node', this.service.state);
      if (reportedState === 'running') {
        expect(process).toMatchObject({ isUp: true, isAskedToStop: false });
        expect(order.kind).toBe('run');
      }
      if (phase.at === 'waiting') expect(wakeAt(this.service.state)).not.toBeNull();
    }
  }

  it('has never two processes, none that is not wanted, and none too soon', () => {
    fc.assert(
      fc.property(fc.array(happenings, { maxLength: 60 }), (story) => {
        const host = new Host();
        for (const what of story) host.happen(what);
      }),
      { numRuns: 2_000 },
    );
  });

  it('ends up as it is ordered, once nothing interferes any more', () => {
    fc.assert(
      fc.property(fc.array(happenings, { maxLength: 40 }), orders, (story, last) => {
        const host = new Host();
        for (const what of story) host.happen(what);
        const always = last.kind === 'run' ? { ...last, restart: { ...policy } } : last;
        host.happen({ kind: 'order', order: always });
        for (let round = 0; round < 8; round += 1) {
          if (host.processes[0]?.isAskedToStop) host.happen({ kind: 'process ends', isSuccess: true });
          host.happen({ kind: 'process comes up' });
          host.happen({ kind: 'pass', ms: 100_000 });
          host.happen({ kind: 'check', complaint: null });
        }
        const wanted =
          last.kind === 'run' ? [{ key: last.launch.key, isUp: true, isAskedToStop: false }] : [];
        expect(host.processes).toEqual(wanted);
      }),
      { numRuns: 1_000 },
    );
  });
});

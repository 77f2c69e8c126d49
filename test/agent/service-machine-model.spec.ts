import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { RestartPolicy } from '../../agent/snapshot-workload.js';
import { type Effect, wakeAt } from '../../agent/supervisor/service-machine.js';
import type { CheckOrder, Order, RunOrder } from '../../agent/supervisor/service-order.js';
import { reportOf } from '../../agent/supervisor/service-report.js';
import { Bench, check, policy, rest, run } from '../support/service-bench.js';

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
    { weight: 1, arbitrary: fc.constant({ kind: 'process leaves others' as const }) },
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
    processes: { key: string; isUp: boolean; hasExited: boolean; isAskedToStop: boolean }[] = [];
    private wasUp = false;
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
        case 'process leaves others':
          if (process?.isUp !== true || process.hasExited) return;
          process.hasExited = true;
          this.service.exited();
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
      this.wasUp = this.isUp;
    }

    /** Whether the service counts as having come up. */
    private get isUp(): boolean {
      const { phase } = this.service.state;
      return phase.at === 'live' && phase.stage === 'running';
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
        const fresh = { isUp: false, hasExited: false, isAskedToStop: false };
        this.processes.push({ key: order.launch.key, ...fresh });
      }
      if (effect === 'stop') {
        expect(process).toMatchObject({ isAskedToStop: false });
        if (process !== undefined) process.isAskedToStop = true;
      }
      if (effect === 'check') expect(process).toMatchObject({ isUp: true, hasExited: false });
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
      if (process?.hasExited && this.isUp) expect(this.wasUp).toBe(true);
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
          const [process] = host.processes;
          if (process?.isAskedToStop || process?.hasExited)
            host.happen({ kind: 'process ends', isSuccess: true });
          host.happen({ kind: 'process comes up' });
          host.happen({ kind: 'pass', ms: 100_000 });
          host.happen({ kind: 'check', complaint: null });
        }
        const wanted =
          last.kind === 'run'
            ? [{ key: last.launch.key, isUp: true, hasExited: false, isAskedToStop: false }]
            : [];
        expect(host.processes).toEqual(wanted);
      }),
      { numRuns: 1_000 },
    );
  });
});

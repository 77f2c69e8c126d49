import { describe, expect, it } from '@jest/globals';
import type { RestartPolicy } from '../../agent/snapshot-workload.js';
import { SETTLING_MS, wakeAt } from '../../agent/supervisor/service-machine.js';
import { Bench, check, policy, rest, run } from '../support/service-bench.js';

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

  it('that has ended but for what it had started comes up no more, whatever it is asked', () => {
    const service = bench().order(run()).started().exited();
    expect(service.passes(60_000).reported).toBe('starting unknown');
    expect([service.ends().reported, service.message]).toEqual([
      'failed unknown',
      'ended; next start 2 s after that',
    ]);
    const checked = bench()
      .order(run({ check: { make: check } }))
      .started()
      .passes(1_000)
      .exited();
    expect(checked.checked(null).reported).toBe('starting unknown');
    expect(checked.passes(60_000).effects).toEqual([]);
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

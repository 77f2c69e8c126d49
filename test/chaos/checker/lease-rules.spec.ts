import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  failOversOf,
  HistoryRecorder,
  type LeaseAnswer,
  type LeaseCall,
  type LeaseFunction,
  operationsByConnection,
} from './history.js';
import { violations } from './lease-rules.js';

const C = 'connection';
const TTL = 30_000;

/** Writes histories on a clock of its own; a call without `during` is answered before anything else happens. */
class Script {
  private nanoseconds = 0;
  private readonly recorder = new HistoryRecorder(() => {
    this.nanoseconds += 1;
    return this.nanoseconds;
  });
  private process = 0;
  private replicatedUntil = 0;

  /** What is answered from here on does not reach the standby. */
  lags() {
    this.replicatedUntil = this.nanoseconds;
    return this;
  }

  /** The standby takes over; until `heldUntil` of the database's clock nobody new may hold. */
  failsOver(heldUntil: number) {
    const { replicatedUntil } = this;
    this.nanoseconds += 2;
    const [lostAt, promotedAt] = [this.nanoseconds - 1, this.nanoseconds];
    this.recorder.note('fail-over', { replicatedUntil, lostAt, promotedAt, heldUntil });
    return this;
  }

  call(
    f: LeaseFunction,
    call: LeaseCall,
    type: 'ok' | 'fail' | 'info',
    answer: LeaseAnswer = {},
    during = () => {},
  ) {
    this.process += 1;
    const complete = this.recorder.invoke(this.process, f, C, call);
    during();
    complete(type, answer);
    return this;
  }

  grant(nodeId: string, token: number, serverTime: number, during?: () => void) {
    const answer = { nodeId, token, serverTime, expiresAt: serverTime + TTL, isNew: true };
    return this.call('acquire', { nodeId }, 'ok', answer, during);
  }

  renew(nodeId: string, token: number, serverTime: number, during?: () => void) {
    const answer = { nodeId, token, serverTime, expiresAt: serverTime + TTL };
    return this.call('renew', { nodeId, token }, 'ok', answer, during);
  }

  rules(): string[] {
    const { entries } = this.recorder;
    const operations = operationsByConnection(entries).get(C) ?? [];
    return [...new Set(violations(C, operations, failOversOf(entries)).map(({ rule }) => rule))].sort();
  }
}

describe('a history that keeps every rule', () => {
  it('is one of a lease that is granted, renewed, held, released and granted to another', () => {
    const script = new Script()
      .grant('a', 1, 0)
      .renew('a', 1, 10_000)
      .call('acquire', { nodeId: 'b' }, 'fail', { code: 'lease_held', expiresAt: 40_000, serverTime: 11_000 })
      .call('release', { nodeId: 'a', token: 1 }, 'ok', { serverTime: 12_000 })
      .call('release', { nodeId: 'a', token: 1 }, 'ok', { serverTime: 12_001 })
      .grant('b', 2, 12_002)
      .call('renew', { nodeId: 'a', token: 1 }, 'fail', { code: 'lease_lost', serverTime: 12_003 });
    expect(script.rules()).toEqual([]);
  });

  it('may have a takeover at the very instant of expiry, and answers in another order than they took effect', () => {
    const script = new Script().grant('a', 1, 0);
    script.renew('a', 1, 5_000, () => script.grant('b', 2, 35_000));
    expect(script.rules()).toEqual([]);
  });

  it.each<[string, (script: Script) => void]>([
    [
      'an acquire that was heard of later',
      (script) => {
        script
          .call('acquire', { nodeId: 'a' }, 'info')
          .call('acquire', { nodeId: 'b' }, 'fail', { code: 'lease_held', expiresAt: TTL, serverTime: 10 })
          .call('acquire', { nodeId: 'a' }, 'ok', {
            nodeId: 'a',
            token: 7,
            serverTime: 20,
            expiresAt: TTL,
            isNew: false,
          });
      },
    ],
    [
      'an acquire that never happened',
      (script) => {
        script.call('acquire', { nodeId: 'a' }, 'info').grant('b', 1, 5);
      },
    ],
    [
      'a renewal that kept a lease alive',
      (script) => {
        script
          .grant('a', 1, 0)
          .call('renew', { nodeId: 'a', token: 1 }, 'info')
          .call('acquire', { nodeId: 'b' }, 'fail', {
            code: 'lease_held',
            expiresAt: 45_000,
            serverTime: 40_000,
          });
      },
    ],
    [
      'a release that let another in before the time',
      (script) => {
        script.grant('a', 1, 0).call('release', { nodeId: 'a', token: 1 }, 'info').grant('b', 2, 100);
      },
    ],
    [
      'a fence that let another in before the time',
      (script) => {
        script.grant('a', 1, 0).call('fence', {}, 'info').grant('b', 9, 100);
      },
    ],
    [
      'a loss of eligibility that let another in before the time',
      (script) => {
        script.grant('a', 1, 0).call('revoke', { nodeId: 'a' }, 'info').grant('b', 2, 100);
      },
    ],
  ])('may have lost the answer of %s', (_, write) => {
    const script = new Script();
    write(script);
    expect(script.rules()).toEqual([]);
  });
});

describe('a history breaks a rule when', () => {
  it.each<[string, string, (script: Script) => void]>([
    ['two hold at one instant', 'one_holder', (script) => script.grant('a', 1, 0).grant('b', 2, TTL - 1)],
    [
      'a renewed lease is taken over before its new end',
      'one_holder',
      (script) =>
        script
          .grant('a', 1, 0)
          .renew('a', 1, 20_000)
          .grant('b', 2, TTL + 1),
    ],
    [
      'a later grant has a lower token',
      'tokens_grow',
      (script) => script.grant('a', 5, 0).grant('b', 4, TTL),
    ],
    ['a token is granted twice', 'tokens_grow', (script) => script.grant('a', 5, 0).grant('b', 5, TTL)],
    [
      'a token is renewed after another was granted',
      'no_success_after_loss',
      (script) =>
        script
          .grant('a', 1, 0)
          .grant('b', 2, TTL)
          .renew('a', 1, TTL + 1),
    ],
    [
      'a token is renewed after it was told to be lost',
      'no_success_after_loss',
      (script) =>
        script
          .grant('a', 1, 0)
          .call('renew', { nodeId: 'a', token: 1 }, 'fail', { code: 'lease_lost' })
          .renew('a', 1, 100),
    ],
    [
      'a lease that expired is renewed, though nobody else had it',
      'linearizable',
      (script) => script.grant('a', 1, 0).renew('a', 1, TTL),
    ],
    [
      'a released lease is renewed',
      'linearizable',
      (script) =>
        script
          .grant('a', 1, 0)
          .call('release', { nodeId: 'a', token: 1 }, 'ok', { serverTime: 5 })
          .renew('a', 1, 6),
    ],
    [
      'a released lease is granted again under its old token',
      'linearizable',
      (script) =>
        script
          .grant('a', 1, 0)
          .call('release', { nodeId: 'a', token: 1 }, 'ok', { serverTime: 5 })
          .call('acquire', { nodeId: 'a' }, 'ok', {
            nodeId: 'a',
            token: 1,
            serverTime: 6,
            expiresAt: TTL,
            isNew: false,
          }),
    ],
    [
      'somebody is refused for a lease that nobody has',
      'linearizable',
      (script) =>
        script.call('acquire', { nodeId: 'b' }, 'fail', { code: 'lease_held', expiresAt: 10, serverTime: 0 }),
    ],
    [
      'the holder is told that it lost what it holds',
      'linearizable',
      (script) =>
        script
          .grant('a', 1, 0)
          .call('renew', { nodeId: 'a', token: 1 }, 'fail', { code: 'lease_lost', serverTime: 5 }),
    ],
    [
      'a refusal names another end than the lease has',
      'linearizable',
      (script) =>
        script.grant('a', 1, 0).call('acquire', { nodeId: 'b' }, 'fail', {
          code: 'lease_held',
          expiresAt: TTL - 1,
          serverTime: 5,
        }),
    ],
    [
      'a fence ends nothing though somebody holds',
      'linearizable',
      (script) => script.grant('a', 1, 0).call('fence', {}, 'ok', { ended: null, above: 1, serverTime: 5 }),
    ],
    [
      'a token after a fence is not above what it promised',
      'linearizable',
      (script) => script.call('fence', {}, 'ok', { ended: null, above: 8, serverTime: 0 }).grant('a', 8, 1),
    ],
    [
      'the clock of decisions goes back',
      'linearizable',
      (script) => script.grant('a', 1, 1_000).renew('a', 1, 999),
    ],
  ])('%s', (_, rule, write) => {
    const script = new Script();
    write(script);
    expect(script.rules()).toContain(rule);
  });

  it('entries complete what nobody began, or a process does two things at a time', () => {
    const recorder = new HistoryRecorder(() => 1);
    const complete = recorder.invoke(1, 'renew', C, { token: 1 });
    recorder.invoke(1, 'renew', C, { token: 1 });
    expect(() => operationsByConnection(recorder.entries)).toThrow('twice');
    complete('ok', {});
    expect(() => operationsByConnection(recorder.entries.slice(2))).toThrow('completes nothing');
  });
});

/** The first token of the term after a fail-over, and when takeovers are held no more. */
const NEXT_TERM = 2 ** 32;
const HELD = 1_000_000;

describe('a history with a fail-over to a standby that lagged', () => {
  const lost = { code: 'lease_lost', serverTime: 5_001 };
  it.each<[string, (script: Script) => void]>([
    [
      'renews what had reached the standby, and gives the connection to another after the hold',
      (script) =>
        script
          .grant('a', 1, 0)
          .lags()
          .renew('a', 1, 4_000)
          .failsOver(HELD)
          .renew('a', 1, 5_000)
          .grant('b', NEXT_TERM, HELD),
    ],
    [
      'has forgotten a release, so that the lease that it ended is active again',
      (script) =>
        script
          .grant('a', 1, 0)
          .lags()
          .call('release', { nodeId: 'a', token: 1 }, 'ok', { serverTime: 4_000 })
          .call('renew', { nodeId: 'a', token: 1 }, 'fail', lost)
          .failsOver(HELD)
          .renew('a', 1, 5_000),
    ],
    [
      'has forgotten a grant, whose holder has lost it without anybody following',
      (script) =>
        script
          .grant('a', 1, 0)
          .lags()
          .call('fence', {}, 'ok', { ended: 1, above: 2, serverTime: 4_000 })
          .grant('b', 3, 4_001)
          .failsOver(HELD)
          .call('renew', { nodeId: 'b', token: 3 }, 'fail', lost)
          .call('acquire', { nodeId: 'b' }, 'fail', { code: 'takeover_held', serverTime: 5_002 })
          .grant('b', NEXT_TERM, HELD),
    ],
    [
      'tells an owner of a lease whose grant nobody had heard of',
      (script) => {
        const answer = { nodeId: 'a', token: 2, serverTime: 5_000, expiresAt: TTL, isNew: false };
        script
          .grant('b', 1, 0)
          .call('release', { nodeId: 'b', token: 1 }, 'ok', { serverTime: 1 })
          .call('acquire', { nodeId: 'a' }, 'info')
          .lags()
          .failsOver(HELD)
          .call('acquire', { nodeId: 'a' }, 'ok', answer)
          .renew('a', 2, 6_000);
      },
    ],
    [
      'answers after the fail-over what was asked before it',
      (script) => {
        script.grant('a', 1, 0).lags();
        script.renew('a', 1, 6_000, () => script.failsOver(HELD).renew('a', 1, 5_000));
      },
    ],
  ])('keeps the rules when it %s', (_, write) => {
    const script = new Script();
    write(script);
    expect(script.rules()).toEqual([]);
  });

  it.each<[string, string, (script: Script) => void]>([
    [
      'somebody new gets a lease within the hold',
      'hold_off',
      (script) =>
        script
          .grant('a', 1, 0)
          .lags()
          .failsOver(HELD)
          .grant('b', NEXT_TERM, HELD - 1),
    ],
    [
      'a lease that the standby did not know is doubled',
      'one_holder',
      (script) =>
        script
          .lags()
          .grant('a', 1, 0)
          .failsOver(0)
          .grant('b', NEXT_TERM, TTL - 1),
    ],
    [
      'a token that was lost is given again',
      'tokens_grow',
      (script) => script.lags().grant('a', 7, 0).failsOver(TTL).grant('b', 7, TTL),
    ],
    [
      'tokens go on below one that was lost',
      'linearizable',
      (script) =>
        script
          .lags()
          .call('fence', {}, 'ok', { ended: null, above: 9, serverTime: 0 })
          .failsOver(5)
          .grant('b', 9, 5),
    ],
    [
      'a loss that had reached the standby is forgotten',
      'no_success_after_loss',
      (script) =>
        script
          .grant('a', 1, 0)
          .call('release', { nodeId: 'a', token: 1 }, 'ok', { serverTime: 10 })
          .call('renew', { nodeId: 'a', token: 1 }, 'fail', { code: 'lease_lost', serverTime: 11 })
          .lags()
          .failsOver(HELD)
          .renew('a', 1, 12),
    ],
    [
      'the new database contradicts itself',
      'linearizable',
      (script) =>
        script
          .grant('a', 1, 0)
          .lags()
          .failsOver(HELD)
          .renew('a', 1, 5_000)
          .call('renew', { nodeId: 'a', token: 1 }, 'fail', { code: 'lease_lost', serverTime: 5_001 }),
    ],
    [
      'the new database decides before what had reached it',
      'linearizable',
      (script) => script.grant('a', 1, 9_000).lags().failsOver(HELD).renew('a', 1, 8_999),
    ],
    [
      'the old database contradicts itself',
      'linearizable',
      (script) => script.grant('a', 1, 0).renew('a', 1, TTL).lags().failsOver(HELD),
    ],
  ])('breaks a rule when %s', (_, rule, write) => {
    const script = new Script();
    write(script);
    expect(script.rules()).toContain(rule);
  });
});

/** A lease that keeps the rules, as a reference: it decides at once, and says what it decided. */
class Reference {
  private token = 0;
  private ownerId = '';
  private expiresAt = -1;
  private above = 0;

  acquire(nodeId: string, now: number): { type: 'ok' | 'fail'; answer: LeaseAnswer } {
    if (now < this.expiresAt) {
      const { token, expiresAt } = this;
      if (this.ownerId !== nodeId)
        return { type: 'fail', answer: { code: 'lease_held', expiresAt, serverTime: now } };
      return { type: 'ok', answer: { nodeId, token, serverTime: now, expiresAt, isNew: false } };
    }
    this.above += 1;
    Object.assign(this, { token: this.above, ownerId: nodeId, expiresAt: now + TTL });
    return {
      type: 'ok',
      answer: { nodeId, token: this.token, serverTime: now, expiresAt: this.expiresAt, isNew: true },
    };
  }

  renew(nodeId: string, token: number, now: number): { type: 'ok' | 'fail'; answer: LeaseAnswer } {
    if (token !== this.token || now >= this.expiresAt)
      return { type: 'fail', answer: { code: 'lease_lost', serverTime: now } };
    this.expiresAt = now + TTL;
    return { type: 'ok', answer: { nodeId, token, serverTime: now, expiresAt: this.expiresAt } };
  }
}

interface Step {
  node: number;
  isRenewal: boolean;
  later: number;
  isLost: boolean;
}

const STEPS = fc.array(
  fc.record<Step>({
    node: fc.integer({ min: 0, max: 2 }),
    isRenewal: fc.boolean(),
    later: fc.integer({ min: 0, max: TTL }),
    isLost: fc.boolean(),
  }),
  { maxLength: 24 },
);

/** Plays the steps against the reference; `doctor` may falsify an answer. */
function play(steps: readonly Step[], doctor: (answer: LeaseAnswer, at: number) => LeaseAnswer): Script {
  const script = new Script();
  const reference = new Reference();
  const tokens = new Map<string, number>();
  let now = 0;
  for (const [at, { node, isRenewal, later, isLost }] of steps.entries()) {
    now += later;
    const nodeId = `node-${node}`;
    const token = tokens.get(nodeId);
    const { type, answer } =
      isRenewal && token !== undefined ? reference.renew(nodeId, token, now) : reference.acquire(nodeId, now);
    if (type === 'ok' && !isLost) tokens.set(nodeId, answer.token ?? 0);
    const [f, call] =
      isRenewal && token !== undefined
        ? (['renew', { nodeId, token }] as const)
        : (['acquire', { nodeId }] as const);
    if (isLost) script.call(f, call, 'info');
    else script.call(f, call, type, doctor(answer, at));
  }
  return script;
}

it('what a lease that keeps the rules answers is never refuted, whichever answers are lost', () => {
  fc.assert(
    fc.property(STEPS, (steps) => {
      expect(play(steps, (answer) => answer).rules()).toEqual([]);
    }),
  );
});

it('a grant that repeats an earlier token is always found', () => {
  const heard = STEPS.map((steps) =>
    steps.map((step) => ({ ...step, isRenewal: false, isLost: false, later: TTL })),
  );
  fc.assert(
    fc.property(
      heard.filter((steps) => steps.length > 1),
      (steps) => {
        const last = steps.length - 1;
        expect(
          play(steps, (answer, at) => (at === last ? { ...answer, token: 1 } : answer)).rules(),
        ).toContain('tokens_grow');
      },
    ),
  );
});

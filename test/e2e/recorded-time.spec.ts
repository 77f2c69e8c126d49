import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { RecordedTime } from '../../src/common/database/recorded-time.js';
import { systemActor } from '../../src/common/request/actor.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { collectLog } from '../support/log-lines.js';
import { TestNode } from '../support/test-node.js';

describe('the recorded time of the database', () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
  });
  afterAll(() => plane.close());
  afterEach(() => record('clock_timestamp()'));

  /** Writes another record: one ahead of the clock is what is left when the clock has stepped back. */
  const record = (expression: string) =>
    plane.database.query(`UPDATE database_clock SET recorded_at = date_trunc('milliseconds', ${expression})`);
  const recorded = async () => {
    const rows = await plane.database.query<{ at: Date; clock: Date }>(
      'SELECT recorded_at AS at, clock_timestamp() AS clock FROM database_clock',
    );
    return rows[0] ?? { at: new Date(Number.NaN), clock: new Date(Number.NaN) };
  };
  /** A look that began after the call: one that was under way may have seen the record as it was before. */
  const look = async (at = plane) => {
    await at.app.get(RecordedTime).look();
    await at.app.get(RecordedTime).look();
  };
  const clockPart = async () => {
    const { status, body } = await plane.api.get('//readyz');
    return { status, part: body.parts.clock };
  };

  it('follows the clock, by whichever instance looks first', async () => {
    await record(`clock_timestamp() - interval '1 hour'`);
    const beside = await startControlPlane({ beside: plane });
    try {
      await Promise.all([plane, beside].map(look));
      const { at, clock } = await recorded();
      expect(clock.getTime() - at.getTime()).toBeLessThan(60_000);
      expect(at.getTime()).toBeLessThanOrEqual(clock.getTime());
      expect((await clockPart()).part).toEqual({ ok: true });
    } finally {
      await beside.close();
    }
  });

  it('does not go back with the clock: time stands still for every decision, and nothing is revived', async () => {
    const { id } = await given(plane).cluster();
    const token = await given(plane).joinToken(id, { expiresInSeconds: 60 });
    await record(`clock_timestamp() + interval '2 minutes'`);
    const { at } = await recorded();
    await look();

    const transactor = plane.app.get(Transactor);
    expect(await transactor.read(async (tx) => tx.now)).toEqual(at);
    const inWrite = await transactor.observe(systemActor('test'), async (tx) => ({
      result: [tx.now, await tx.clock()],
    }));
    expect(inWrite).toEqual([at, at]);
    expect(await plane.database.query('SELECT fabric_now() AS now')).toEqual([{ now: at }]);
    expect((await recorded()).at).toEqual(at);

    const path = `/clusters/${id}/join-tokens/${token.id}`;
    expect(created(await plane.api.get(path))).toMatchObject({ status: 'expired' });
    const late = await (await TestNode.make(plane.url)).enroll(token.token);
    expect([late.status, late.body.code]).toEqual([401, 'join_token_invalid']);
  });

  it('behind which the clock falls makes an alarm, until the clock has caught up', async () => {
    await look();
    const log = collectLog(plane, 'info');
    const alarms = () => log.filter(({ msg }) => msg.startsWith('clock:')).map(({ level }) => level);
    const gauge = async () =>
      Number(
        /^fabric_database_clock_behind_seconds (\S+)$/m.exec((await plane.api.get('//metrics')).body)?.[1],
      );
    expect(await clockPart()).toEqual({ status: 200, part: { ok: true } });

    await record(`clock_timestamp() + interval '1 hour'`);
    await look();
    expect(await clockPart()).toEqual({
      status: 503,
      part: { ok: false, detail: expect.stringMatching(/went back by 3[56]\d\d s/) },
    });
    expect(await gauge()).toBeGreaterThan(3_500);
    await look();
    expect(alarms()).toEqual(['error']);

    await record('clock_timestamp()');
    expect(await clockPart()).toEqual({ status: 200, part: { ok: true } });
    expect(await gauge()).toBeLessThanOrEqual(1);
    expect(alarms()).toEqual(['error', 'info']);
  });

  it('tolerates that two servers differ by less than a second', async () => {
    await record(`clock_timestamp() + interval '900 milliseconds'`);
    expect((await clockPart()).part).toEqual({ ok: true });
  });
});

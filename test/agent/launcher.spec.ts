import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type Behaviour, LauncherStage } from '../support/launcher-stage.js';
import { buildService } from '../support/service-process.js';
import { isAlive } from '../support/supervised-node.js';
import { until } from '../support/until.js';

const stages: LauncherStage[] = [];

beforeAll(buildService, 300_000);
afterEach(async () => {
  await Promise.all(stages.splice(0).map((stage) => stage.close()));
});

async function stageWith(next: Behaviour, claims?: string): Promise<LauncherStage> {
  const stage = await LauncherStage.open(next, claims);
  stages.push(stage);
  return stage;
}

/** A stage whose agent 1.0.0 runs and has just asked for 2.0.0. */
async function ordered(next: Behaviour, claims?: string): Promise<LauncherStage> {
  const stage = await stageWith(next, claims);
  stage.launch();
  await stage.seen('launcher.agent_started', { slot: 'a' });
  await stage.order();
  return stage;
}

describe('a new agent', () => {
  it('stays once it has checked in', async () => {
    const stage = await ordered('good');
    expect(await stage.settled()).toMatchObject({ current: 'b', last: { outcome: 'confirmed' } });
    expect(await stage.files.readOrder()).toBeNull();
  });

  it.each<[string, Behaviour, string, RegExp]>([
    [
      'crashes at once',
      'crash',
      '2.0.0',
      /started 3 times and did not check in; at last it ended with exit code 1/,
    ],
    ['says that it is another version', 'good', '9.9.9', /says that it is version 9.9.9/],
  ])('that %s gives its place back', async (_, next, claims, reason) => {
    const stage = await ordered(next, claims);
    const { current, last } = await stage.settled();
    expect(current).toBe('a');
    expect(last).toMatchObject({ orderId: 'o1', outcome: 'reverted' });
    expect(last?.reason).toMatch(reason);
  });

  it('whose program is gone gives its place back', async () => {
    const stage = await stageWith('good');
    await rm(stage.slots.programOf('b'));
    stage.launch();
    await stage.order();
    await stage.seen('launcher.agent_started', { slot: 'a' });
    expect((await stage.settled()).last?.reason).toMatch(/no whole agent in slot b/);
  });

  it.each<Behaviour>(['silent', 'deaf'])(
    'that is %s makes room, and is blamed once the one before it has checked in',
    async (next) => {
      const stage = await stageWith(next);
      Object.assign(stage.options, { checkInMs: 1, stopMs: 1 });
      stage.launch();
      await stage.order();
      const { current, last } = await stage.settled();
      expect([current, last?.outcome]).toEqual(['a', 'reverted']);
      expect(last?.reason).toMatch(/the one before it did/);
    },
  );

  it('is tried again after an outage of the control plane, and not blamed for that', async () => {
    const stage = await stageWith('good');
    Object.assign(stage.options, { checkInMs: 1, compareMs: 1 });
    await stage.serviceIsDown();
    await stage.order();
    stage.launch();
    await stage.seen('launcher.trial', { phase: 'waiting' });
    expect((await stage.files.readRecord())?.last).toBeNull();
    stage.options.checkInMs = 3_600_000;
    await stage.serviceIsUp();
    await stage.seen('launcher.trial', { phase: 'trying', round: 2 });
    expect(await stage.settled()).toMatchObject({ current: 'b', last: { outcome: 'confirmed' } });
  });

  it('that was killed right after it had checked in is started again', async () => {
    const stage = await ordered('dies_checked_in');
    await stage.seen('launcher.agent_ended', { slot: 'b', detail: 'was killed by SIGKILL' });
    await stage.seen('launcher.confirmed');
  });
});

it('starts the agent again when that was killed', async () => {
  const stage = await stageWith('good');
  stage.launch();
  const { pid } = await stage.seen('launcher.agent_started');
  process.kill(Number(pid), 'SIGKILL');
  await stage.seen('launcher.agent_ended', { pid });
  await stage.order(); // taken by the next one's start
  expect((await stage.settled()).current).toBe('b');
});

it('starts the installed agent when nobody can read the record', async () => {
  const stage = await stageWith('good');
  await writeFile(join(stage.files.folder, 'boot.json'), '{"version":1,"current":"c"}');
  stage.launch();
  await stage.seen('launcher.record_unreadable');
  await until(
    () => stage.alive(),
    (versions) => versions.includes('0.1.0'),
  );
});

it('ends an agent that a dead launcher has left, and that hears nothing', async () => {
  const stage = await stageWith('deaf');
  const { files, slots } = stage;
  await files.writeRecord({ version: 1, current: 'b', trial: null, last: null });
  const first = stage.launchProcess();
  const { pid } = await first.seen('launcher.agent_started');
  await until(
    () => stage.alive(),
    (versions) => versions.length === 1,
  );
  first.signal('SIGKILL');
  await first.exited;
  await writeFile(slots.programOf('b'), await readFile(slots.programOf('a')));
  stage.options.stopMs = 1;
  stage.launch();
  await stage.seen('launcher.agent_started', { slot: 'b' });
  expect(isAlive(Number(pid))).toBe(false);
});

/** Lets a launcher die at a step, and another one follow. False: there is no such step, the first one is at its end. */
async function dies(next: Behaviour, step: number, when: 'before' | 'after'): Promise<boolean> {
  const stage = await stageWith(next);
  await stage.order();
  const first = stage.launchProcess(step, when);
  const atEnd =
    next === 'good'
      ? first.seen('launcher.confirmed')
      : first.seen('launcher.agent_started', ({ slot, trial }) => slot === 'a' && trial === null);
  const hasDied = await Promise.race([first.exited.then(() => true), atEnd.then(() => false)]).catch(
    () => true,
  );
  const launcher = hasDied ? stage.launchProcess() : first;
  // By it: the agent of one that has died may live on for a moment.
  await launcher.seen('launcher.agent_started', ({ slot, trial }) =>
    next === 'good' ? slot === 'b' : slot === 'a' && trial === null,
  );
  const { current, last } = await stage.settled();
  const expected = next === 'good' ? ['b', 'confirmed'] : ['a', 'reverted'];
  expect([step, current, last?.outcome]).toEqual([step, ...expected]);
  expect(await stage.journal()).not.toContainEqual(expect.stringContaining('locked-out'));
  await launcher.end('SIGTERM');
  expect(await stage.alive()).toEqual([]);
  return hasDied;
}

/** So many at a time: most of the time goes by in waiting for processes to start. */
const TOGETHER = 3;

it.each<[Behaviour, 'before' | 'after']>([
  ['good', 'before'],
  ['good', 'after'],
  ['crash', 'before'],
])(
  'with an agent that is %s, a launcher killed right %s any of its steps leaves nothing that the next does not bring to its end',
  async (next, when) => {
    let steps = 0;
    for (let step = 1; steps === 0; step += TOGETHER) {
      const together = Array.from({ length: TOGETHER }, (_, index) => step + index);
      const died = await Promise.all(together.map((each) => dies(next, each, when)));
      if (died.includes(false)) steps = step + died.indexOf(false) - 1;
    }
    expect(steps).toBeGreaterThanOrEqual(next === 'good' ? 8 : 12);
  },
  300_000,
);

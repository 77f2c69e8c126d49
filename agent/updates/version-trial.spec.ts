import { describe, expect, it } from '@jest/globals';
import { Alarm } from '../alarm.js';
import { parseDefinition } from '../supervisor/service-definition.js';
import type { ServiceReport } from '../supervisor/service-report.js';
import type { UpdateUnderWay } from './update-record.js';
import type { UpdaterContext } from './updater-context.js';
import { VersionTrial } from './version-trial.js';

const at = (version: string) => ({ version, folder: `${version}_f` });
const updated = (to: string, from: string, watchUntil = Date.now() + 3_600_000): UpdateUnderWay => ({
  ...{ assignmentId: 'a', epoch: 1, toVersion: to, sha256: 'f', state: 'running', isReady: true, attempt: 1 },
  ...{
    sequence: 9,
    serviceType: 's',
    from: at(from),
    to: at(to),
    artifact: null,
    maxBytes: 0,
    migrations: [],
  },
  ...{ isLetGo: true, begun: null, undone: [], done: [], hasBackup: false, isFinal: false, restarts: 0 },
  ...{ watchUntil, message: null },
});

/** A trial of a service of which the test says how it is. */
function trialOf(): {
  trial: VersionTrial;
  is: (version: string, instanceId: string, isWell: boolean) => void;
} {
  let report: ServiceReport | null = null;
  const definition = parseDefinition({ product: 'p', command: ['s'], update: { settleSeconds: 3_600 } });
  const context = {
    supervisor: { look: () => report },
    catalogue: { definitionOf: async () => definition },
    stop: new AbortController().signal,
  };
  const trial = new VersionTrial(context as unknown as UpdaterContext, new Alarm(), () => true);
  return {
    trial,
    is: (version, instanceId, isWell) => {
      const about = { serviceType: 's', version, instanceId, message: isWell ? null : 'it fell over' };
      report = { ...about, reportedState: isWell ? 'running' : 'failed', health: 'unknown' } as ServiceReport;
    },
  };
}

describe('a version that was good', () => {
  it('has turned bad when it has fallen three times, and not before', async () => {
    const { trial, is } = trialOf();
    const update = updated('2.0.0', '1.0.0');
    for (const instance of ['one', 'two']) {
      is('2.0.0', instance, false);
      expect(await trial.late(update)).toHaveProperty('lookAgainMs');
    }
    is('2.0.0', 'three', false);
    expect(await trial.late(update)).toEqual({ reason: 'it fell over' });
  });

  it('is judged by itself, whatever the one before it had begun to do', async () => {
    const { trial, is } = trialOf();
    is('2.0.0', 'one', false);
    await trial.late(updated('2.0.0', '1.0.0'));
    trial.forget();
    const next = updated('3.0.0', '2.0.0');
    is('3.0.0', 'two', true);
    expect(await trial.late(next)).toHaveProperty('lookAgainMs');
    for (const instance of ['two', 'three']) {
      is('3.0.0', instance, false);
      expect(await trial.late(next)).toHaveProperty('lookAgainMs');
    }
    is('3.0.0', 'four', false);
    expect(await trial.late(next)).toEqual({ reason: 'it fell over' });
  });

  it.each<[string, UpdateUnderWay]>([
    ['its time of watching is over', updated('2.0.0', '1.0.0', 0)],
    ['it was a way down', updated('1.0.0', '2.0.0')],
    ['nothing was there before', { ...updated('2.0.0', '1.0.0'), from: null }],
  ])('is let be where %s', async (_, update) => {
    const { trial, is } = trialOf();
    is(update.to.version, 'one', false);
    expect(await trial.late(update)).toEqual({ lookAgainMs: null });
  });
});

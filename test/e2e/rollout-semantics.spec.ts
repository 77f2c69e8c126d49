import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { RolloutStage } from '../support/rollouts/stage.js';

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane?.close());

const refusal = ({ status, body: { code } }: Answer) => [status, code];
/** Audit events of a cluster by their action, newest first. */
const eventsOf = async ({ clusterId }: RolloutStage, action: string) =>
  (
    created(await plane.api.get(`/audit/events?clusterId=${clusterId}&action=${action}`)) as {
      items: Answer['body'][];
    }
  ).items;

describe('stable', () => {
  const stableOf = ({ clusterId, publisher }: RolloutStage) =>
    `/clusters/${clusterId}/channels/${publisher.product}/stable`;

  it('takes what a rollout has proved and nothing else, save what it begins with and goes back to', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const stable = stableOf(stage);
    const point = (version: string, query = '') => plane.api.put(`${stable}${query}`, { version });
    expect((await point('1.0.0')).status).toBe(200);
    const refused = await point('2.0.0');
    expect(refusal(refused)).toEqual([409, 'promotion_not_proven']);
    expect(refused.body).toMatchObject({
      missing: 'no_finished_rollout',
      soakedSeconds: null,
      soakSeconds: 0,
    });
    expect(refusal(await point('2.0.0', '?dryRun=true'))).toEqual([409, 'promotion_not_proven']);
    const [told, ...more] = await eventsOf(stage, 'channel.promotion_refused');
    expect(told).toMatchObject({
      outcome: 'failed',
      reason: 'no_finished_rollout',
      after: { version: '2.0.0' },
    });
    expect(more).toEqual([]);
    const id = await stage.started();
    expect(refusal(await point('2.0.0'))).toEqual([409, 'promotion_not_proven']);
    await stage.run();
    expect((await point('2.0.0')).body).toMatchObject({ version: '2.0.0', revision: 2 });
    expect((await stage.decisions(id)).at(-1)).toMatchObject({
      rule: 'promoted_to_stable',
      fromState: 'succeeded',
      toState: 'succeeded',
      inputs: { channel: 'stable', soakSeconds: 0 },
    });
    expect((await point('1.0.0')).status).toBe(200);
    const current = stable.replace('/stable', '/current');
    await stage.publisher.release('3.0.0');
    expect((await plane.api.put(current, { version: '3.0.0' })).status).toBe(200);
  });

  it('waits for the soak that the policy asks for, and for nothing where it asks for nothing', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const stable = stableOf(stage);
    const policy = (stablePromotion: Record<string, unknown>) =>
      plane.api.put(`/clusters/${stage.clusterId}/policy`, { stablePromotion });
    created(await plane.api.put(stable, { version: '1.0.0' }));
    created(await policy({ soakSeconds: 3_600 }));
    const id = await stage.started();
    await stage.run();
    const early = await plane.api.put(stable, { version: '2.0.0' });
    expect(refusal(early)).toEqual([409, 'promotion_not_proven']);
    expect(early.body).toMatchObject({ missing: 'soak_not_over', soakSeconds: 3_600 });
    await stage.advance(3_601);
    created(await stage.act(id, 'rollback'));
    expect((await plane.api.put(stable, { version: '2.0.0' })).body.missing).toBe('no_finished_rollout');
    await stage.run();
    created(await policy({ rolloutRequired: false }));
    expect((await plane.api.put(stable, { version: '2.0.0' })).status).toBe(200);
    const { rollouts } = created(await plane.api.get(`/clusters/${stage.clusterId}/summary`)) as {
      rollouts: Record<string, number>;
    };
    expect(rollouts).toMatchObject({ rolled_back: 1, running: 0, draft: 0 });
  });
});

import { describe, expect, it } from '@jest/globals';
import {
  actViolations,
  type DriverAct,
  FencedResource,
  OpenResource,
  type Resource,
  refusedActs,
} from './driver-acts.js';

const act = (nodeId: string, token: number, time: number, more: Partial<DriverAct> = {}): DriverAct => ({
  connectionId: 'connection',
  nodeId,
  token,
  act: 'work',
  time,
  validUntil: time + 100,
  ...more,
});
const rules = (acts: DriverAct[], resource: Resource = new FencedResource()) =>
  actViolations(acts, resource).map(({ rule }) => rule);

describe('acts of drivers', () => {
  it('are fine when one has stopped, or its authority has ended, before the next begins', () => {
    expect(rules([act('a', 1, 0), act('a', 1, 50, { act: 'stop' }), act('b', 2, 60)])).toEqual([]);
    expect(rules([act('a', 1, 0), act('b', 2, 100)])).toEqual([]);
  });

  it('overlap when two hold valid authority at one instant, whoever wrote first', () => {
    const acts = [act('b', 2, 60), act('a', 1, 0)];
    expect(rules(acts)).toContain('overlapping_drivers');
    const forwardSteps = [{ from: 50, to: 70 }];
    expect(actViolations(acts, new FencedResource(), { forwardSteps })).toEqual([]);
  });

  it('do not overlap when one was ended from outside before, and do when the other began earlier than that', () => {
    const acts = [act('a', 1, 0), act('b', 2, 60)];
    const ended = (token: number, from: number) =>
      actViolations(acts, new FencedResource(), { endings: [{ token, from }] }).map(({ rule }) => rule);
    expect(ended(1, 60)).toEqual([]);
    expect(ended(1, 61)).toEqual(['overlapping_drivers']);
    expect(ended(3, 0)).toEqual(['overlapping_drivers']);
  });

  it('that come late are refused by a fenced resource and taken by an open one, which the check finds', () => {
    const paused = act('a', 1, 300, { validUntil: 100 });
    const acts = [act('a', 1, 0), act('b', 2, 200), paused];
    expect(rules(acts)).toEqual([]);
    expect(refusedActs(acts, new FencedResource())).toEqual([paused]);
    expect(rules(acts, new OpenResource())).toEqual(['stale_act_taken']);
  });
});

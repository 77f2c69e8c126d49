import { describe, expect, it } from '@jest/globals';
import { parseWorkloads } from './snapshot-workload.js';

const timing = { intervalSeconds: 10, timeoutSeconds: 2, failureThreshold: 3 };
const good = {
  serviceType: 'synthetic.echo',
  desiredState: 'running',
  runtime: 'native',
  version: null,
  config: { port: 7000 },
  secretRefs: { key: 'vault:echo' },
  healthCheck: { type: 'tcp', port: 7000, ...timing },
  restartPolicy: { mode: 'always', initialDelaySeconds: 1, maxDelaySeconds: 60, resetAfterSeconds: 600 },
  whenControlPlaneLost: 'keep',
};
const check = (change: object) => ({ healthCheck: { type: 'tcp', port: 7000, ...timing, ...change } });
const policy = (change: object) => ({ restartPolicy: { ...good.restartPolicy, ...change } });

describe('the workloads of a snapshot', () => {
  it('are read as they are', () => {
    expect(parseWorkloads([good])).toEqual([good]);
  });

  it.each<[string, object]>([
    ['no health check', { healthCheck: null }],
    ['a version', { version: '1.2.3' }],
    ['members that it does not know', { priority: 7 }],
    ['an exec check', check({ type: 'exec', command: ['/bin/true'] })],
    ['an http check', check({ type: 'http', url: 'http://127.0.0.1:7000/health' })],
    ['a runtime that it does not run', { runtime: 'container' }],
    ['delays of no time', policy({ initialDelaySeconds: 0, maxDelaySeconds: 0, resetAfterSeconds: 0 })],
  ])('may have %s', (_, change) => {
    const [read] = parseWorkloads([{ ...good, ...change }]) ?? [];
    expect(read).not.toHaveProperty('unreadable');
  });

  it.each<[string, string, object]>([
    ['desiredState', 'another desired state', { desiredState: 'paused' }],
    ['runtime', 'no runtime', { runtime: undefined }],
    ['version', 'a version that is a number', { version: 1 }],
    ['config', 'a config that is a list', { config: [] }],
    ['secretRefs', 'a secret that is no reference', { secretRefs: { key: { value: 'x' } } }],
    ['healthCheck', 'another kind of check', check({ type: 'grpc' })],
    ['healthCheck', 'a check without a command', check({ type: 'exec' })],
    ['healthCheck', 'a command line in one piece', check({ type: 'exec', command: 'rm -rf /' })],
    ['healthCheck', 'an empty command', check({ type: 'exec', command: [] })],
    ['healthCheck', 'a URL that is none', check({ type: 'http', url: 'here' })],
    ['healthCheck', 'a port that is none', check({ port: 70_000 })],
    ['healthCheck', 'an interval of no time', check({ intervalSeconds: 0 })],
    ['healthCheck', 'a timeout without end', check({ timeoutSeconds: Number.POSITIVE_INFINITY })],
    ['healthCheck', 'a threshold of no failures', check({ failureThreshold: 0 })],
    ['restartPolicy', 'no restart policy', { restartPolicy: undefined }],
    ['restartPolicy', 'another mode', policy({ mode: 'sometimes' })],
    ['restartPolicy', 'a delay before now', policy({ initialDelaySeconds: -1 })],
    ['whenControlPlaneLost', 'another wish for a lost control plane', { whenControlPlaneLost: 'panic' }],
  ])('are kept as unreadable, naming %s, when they have %s', (member, _, change) => {
    const unreadable = `this agent does not understand the workload's ${member}`;
    expect(parseWorkloads([{ ...good, ...change }])).toEqual([{ serviceType: 'synthetic.echo', unreadable }]);
  });

  it.each([undefined, null, '', '..', '.', 'a/b', '../keys', 'UPPER', 'a\0b', 'a'.repeat(64), 7])(
    'are left out without a name that can be reported, like %p',
    (serviceType) => {
      expect(parseWorkloads([{ ...good, serviceType }, good])).toEqual([good]);
    },
  );

  it('hold each service type once, the first', () => {
    expect(parseWorkloads([good, { ...good, desiredState: 'stopped' }])).toEqual([good]);
  });

  it.each([
    [undefined, []],
    [{}, null],
    ['none', null],
    [null, null],
    [[null, 7, 'text'], []],
  ])('of %p are %p', (value, workloads) => {
    expect(parseWorkloads(value)).toEqual(workloads);
  });
});

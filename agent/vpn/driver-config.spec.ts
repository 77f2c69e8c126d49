import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readDriverConfig } from './driver-config.js';
import { TokenMemory } from './token-memory.js';
import { parseVpnAssignments } from './vpn-assignment.js';

let directory = '';
let file = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rap-vpn-'));
  file = join(directory, 'vpn-driver.json');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

it('takes a driver of commands with its defaults, a simulated one, and no file at all', async () => {
  expect(await readDriverConfig(file)).toBeNull();
  await writeFile(file, JSON.stringify({ driver: 'command', start: ['/bin/up'], stop: ['/bin/down', '-f'] }));
  expect(await readDriverConfig(file)).toEqual({
    driver: 'command',
    start: ['/bin/up'],
    stop: ['/bin/down', '-f'],
    env: {},
    startTimeoutSeconds: 30,
    stopTimeoutSeconds: 5,
  });
  await writeFile(file, JSON.stringify({ driver: 'simulated', file: '/tmp/acts' }));
  expect(await readDriverConfig(file)).toEqual({ driver: 'simulated', file: '/tmp/acts', workMs: 100 });
});

it.each([
  ['{', 'JSON'],
  ['[]', 'object'],
  ['{"driver":"wireguard"}', '"driver"'],
  ['{"driver":"simulated"}', '"file"'],
  ['{"driver":"command","stop":["x"]}', '"start"'],
  ['{"driver":"command","start":["x"],"stop":"x"}', '"stop"'],
  ['{"driver":"command","start":["x"],"stop":["x"],"env":{"A":1}}', '"env"'],
  ['{"driver":"command","start":["x"],"stop":["x"],"stopTimeoutSeconds":0}', 'timeouts'],
])('says what is wrong with %s', async (text, word) => {
  await writeFile(file, text);
  await expect(readDriverConfig(file)).rejects.toThrow(word);
});

const assignment = {
  connectionId: '0195f000-0000-7000-8000-00000000000a',
  name: 'office',
  kind: 'exit',
  desiredState: 'enabled',
  leaseTtlSeconds: 30,
  routePolicies: [{ cidr: '10.0.0.0/8', action: 'allow', priority: 10 }],
};

it('reads assignments, and leaves out what it cannot understand whole', () => {
  const { hasCredentialRef: _, ...read } = { ...assignment, hasCredentialRef: true };
  expect(parseVpnAssignments(undefined)).toEqual([]);
  expect(parseVpnAssignments('none')).toBeNull();
  const odd = [
    { ...assignment, connectionId: '../../etc' },
    { ...assignment, kind: 'bridge' },
    { ...assignment, routePolicies: [{ cidr: '10.0.0.0/8', action: 'mirror', priority: 1 }] },
    null,
  ];
  expect(parseVpnAssignments([assignment, ...odd])).toEqual([read]);
});

it('remembers the highest token of each connection, also after a restart, and begins anew from a damaged file', async () => {
  const memory = await TokenMemory.open(directory, 'tokens.json');
  expect(memory.highest('a')).toBeNull();
  await memory.keep('a', 7);
  await memory.keep('a', 5);
  await memory.keep('b', 1);
  const again = await TokenMemory.open(directory, 'tokens.json');
  expect([again.highest('a'), again.highest('b')]).toEqual([7, 1]);
  await writeFile(join(directory, 'tokens.json'), 'damaged');
  expect((await TokenMemory.open(directory, 'tokens.json')).highest('a')).toBeNull();
});

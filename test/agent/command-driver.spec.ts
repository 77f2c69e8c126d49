import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Log } from '../../agent/log.js';
import { SteadyClock } from '../../agent/vpn/steady-clock.js';
import { TunnelRecords } from '../../agent/vpn/tunnel-record.js';
import type { VpnAssignment } from '../../agent/vpn/vpn-assignment.js';
import type { DriverLease, VpnDriver } from '../../agent/vpn/vpn-driver.js';
import { projectRoot } from '../../src/common/project-root.js';
import { buildService } from '../support/service-process.js';

const ASSIGNMENT: VpnAssignment = {
  connectionId: 'tunnel',
  name: 'tunnel',
  kind: 'exit',
  desiredState: 'enabled',
  leaseTtlSeconds: 3_600,
  routePolicies: [],
};
const sh = (script: string) => ['/bin/sh', '-c', script];
const clock = new SteadyClock();
const LONG: DriverLease = {
  token: 7,
  validUntilMs: clock.now() + 3_600_000,
  stopAtMs: clock.now() + 3_500_000,
};

let directory = '';
let driver: VpnDriver;
// Built, since the driver starts the agent's own program as the guard.
beforeAll(buildService, 300_000);
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rap-driver-'));
  const path = join(projectRoot(), 'dist', 'agent', 'vpn', 'command-driver.js');
  const { CommandDriver } = await import(pathToFileURL(path).href);
  const config = {
    start: sh('echo up > "$TUNNEL"'),
    stop: sh('rm -f "$TUNNEL"'),
    env: { TUNNEL: join(directory, 'tunnel') },
    startTimeoutSeconds: 30,
    stopTimeoutSeconds: 5,
  };
  const records = new TunnelRecords(directory);
  driver = new CommandDriver({ clusterId: 'c', nodeId: 'n' }, config, records, clock, new Log('error'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('a driver by commands', () => {
  it('brings its tunnel up and down, and leaves nothing', async () => {
    await driver.start(ASSIGNMENT, LONG);
    expect(existsSync(join(directory, 'tunnel'))).toBe(true);
    await driver.stop();
    expect(await readdir(directory)).toEqual([]);
  });

  it('whose lease is extended at any moment while it begins brings its tunnel up, for as long as was said last', async () => {
    const short = { ...LONG, validUntilMs: clock.now() + 1, stopAtMs: clock.now() };
    let isBeginning = true;
    const starting = driver.start(ASSIGNMENT, short);
    const extending = (async () => {
      for (; isBeginning; await turn()) driver.extend(LONG);
    })();
    await starting;
    isBeginning = false;
    await extending;
    expect(existsSync(join(directory, 'tunnel'))).toBe(true);
    await driver.stop();
    expect(await readdir(directory)).toEqual([]);
  });

  it('that is stopped while it is only about to begin has no tunnel up then, nor later', async () => {
    const started = driver.start(ASSIGNMENT, LONG).catch(() => undefined);
    await driver.stop();
    expect(await readdir(directory)).toEqual([]);
    await started;
    expect(await readdir(directory)).toEqual([]);
  });
});

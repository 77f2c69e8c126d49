import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileIfPresent } from '../../agent/atomic-file.js';
import { BootFiles } from '../../agent/launcher/boot-files.js';
import { lockHolder } from '../../agent/state-lock.js';
import { signalAll } from '../../agent/supervisor/process-tree.js';
import { projectRoot } from '../../src/common/project-root.js';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentProcess } from '../support/agent-process.js';
import { created, given, unique } from '../support/given.js';
import { nodeServices } from '../support/node-services.js';
import { Publisher } from '../support/publisher.js';
import { runReleaseTool } from '../support/service-process.js';
import { archiveOf } from '../support/service-release.js';
import { isAlive } from '../support/supervised-node.js';
import { until } from '../support/until.js';
import { RESTART, UpdateStage } from '../support/updated-nodes.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 300_000;

let fleet: AgentFleet;
let stage: UpdateStage;
let folder: string;
let name: string;
let nodeId: string;
let launcher: AgentProcess;
const launchers: AgentProcess[] = [];

beforeAll(async () => {
  fleet = await AgentFleet.open();
  const { api } = fleet.plane;
  const publisher = await Publisher.make(api, { kind: 'node-agent', keys: 0 });
  stage = await UpdateStage.open(fleet, publisher);
  folder = fleet.host.directory('publisher');
  await mkdir(folder);
  await tool('keygen', '--out', join(folder, 'ada.key'));
  const publicKey = JSON.parse(await readFile(join(folder, 'ada.key.pub.json'), 'utf8'));
  created(await api.post('/signing-keys', { name: 'ada', publicKey, products: [publisher.product] }));
  name = unique('updating');
  const abilities = ['--no-discover', '--capability', 'can_run_vpn_exit'];
  nodeId = await fleet.admit(name, stage.clusterId, {}, ...abilities);
  const pins = { products: { [publisher.product]: { threshold: 1, keys: [publicKey] } } };
  await writeFile(join(fleet.host.directory(name), 'release-keys.json'), JSON.stringify(pins), {
    mode: 0o600,
  });
  await giveWork();
}, 300_000);
afterAll(async () => {
  await launcher?.end('SIGTERM');
  await fleet?.close();
});

const SERVICE = 'config-storage';
const workload = () => `/clusters/${stage.clusterId}/nodes/${nodeId}/workloads/${SERVICE}`;
const tunnel = () => join(fleet.host.directory(name), 'tunnel');
const sh = (script: string) => ['/bin/sh', '-c', script];
/** A tunnel is a folder: a second one beside it cannot be made, and that it was tried is written down. */
const BEGIN = 'mkdir "$TUNNEL" || { echo again > "$TUNNEL.twice"; exit 1; }';
const END = '[ ! -d "$TUNNEL" ] || rmdir "$TUNNEL"';

/** The node runs a service and holds a VPN connection, whichever agent it has. */
async function giveWork(): Promise<void> {
  const { api } = fleet.plane;
  const directory = fleet.host.directory(name);
  const service = { command: ['/bin/sleep', '600'], stopTimeoutSeconds: 2 };
  const driver = { driver: 'command', start: sh(BEGIN), stop: sh(END), stopTimeoutSeconds: 2 };
  await mkdir(join(directory, 'services'), { mode: 0o700 });
  const write = (file: string, content: object) =>
    writeFile(join(directory, file), JSON.stringify(content), { mode: 0o600 });
  await write(join('services', `${SERVICE}.json`), service);
  await write('vpn-driver.json', { ...driver, env: { TUNNEL: tunnel() } });
  for (const role of [SERVICE, 'vpn-exit'])
    created(await api.post(`/clusters/${stage.clusterId}/role-assignments`, { nodeId, role }));
  created(await api.put(workload(), { desiredState: 'running', runtime: 'native', restartPolicy: RESTART }));
  await given(fleet.plane).vpnConnection(stage.clusterId, { allowedNodeIds: [nodeId], leaseTtlSeconds: 10 });
}

/** The service runs once, under the agent that tells of it, and the tunnel is up and never was so twice. */
async function keepsItsWork(): Promise<void> {
  await fleet.until(workload(), ({ reportedState }) => reportedState === 'running');
  await until(
    async () => [await fleet.plane.api.get(workload()), await nodeServices(nodeId)] as const,
    ([{ body }, services]) =>
      services.length > 0 && services.every(({ instanceId }) => instanceId === body.instanceId),
  );
  await until(
    async () => existsSync(tunnel()),
    (isUp) => isUp,
  );
  expect(await readFileIfPresent(`${tunnel()}.twice`)).toBeNull();
}

/** Runs a command of `fabric-release` that is to succeed. */
async function tool(...args: string[]): Promise<void> {
  const { code, output } = await runReleaseTool(args, { FABRIC_TOKEN: fleet.plane.ownerToken });
  if (code !== 0) throw new Error(output);
}

/** Signs, publishes and approves a package as a version of the agent. */
async function release(version: string, file: string): Promise<void> {
  const { product, api } = stage.publisher;
  const envelope = join(folder, `${version}.dsse.json`);
  const artifact = ['--artifact', `linux/${process.arch}=${file}`];
  const what = ['--product', product, '--version', version, '--key', join(folder, 'ada.key')];
  await tool('sign', '--out', envelope, ...what, ...artifact);
  await tool('publish', '--envelope', envelope, ...artifact, '--url', fleet.plane.url);
  created(await api.post(stage.publisher.path(version, '/approve')));
}

/** A package whose program is this text, and which says that it is of this version. */
async function broken(version: string, program: string): Promise<string> {
  const { bytes } = await archiveOf({
    'package.json': JSON.stringify({ type: 'module', version }),
    'agent/main.js': program,
  });
  const file = join(folder, `${version}.tar.gz`);
  await writeFile(file, bytes);
  return file;
}

/** Starts the launcher, again if need be. */
function launch(...times: string[]): void {
  const options = ['--', '--agent-product', stage.publisher.product];
  launcher = fleet.host.start(name, 'launch', '--log-level', 'debug', ...times, ...options);
  launchers.push(launcher);
}

/** Kills the launcher, the agent, or both, and starts what nobody else does. */
async function kill(whom: 'launcher' | 'agent' | 'both'): Promise<void> {
  const pid = await lockHolder(fleet.host.directory(name));
  if (whom !== 'agent') launcher.signal('SIGKILL');
  // It may have ended in the meantime, since another one is to take its place.
  if (whom !== 'launcher' && pid !== null) signalAll([pid], 'SIGKILL');
  if (whom === 'agent') return;
  await launcher.exited;
  launch();
}

/** The next state that the update is seen in; `running` also when that was not seen in time to kill anybody. */
async function nextState(known: readonly string[]): Promise<string> {
  const moved = launcher.seen('update.moved', ({ state }) => !known.includes(String(state)));
  const file = join(fleet.host.directory(name), 'updates', `${stage.publisher.product}.json`);
  const read = async () => JSON.parse((await readFileIfPresent(file)) ?? '{}').update?.state;
  const done = until(read, (state) => state === 'running');
  return String(await Promise.race([moved.then(({ state }) => state), done]));
}

/** The node runs this version, never beside another one, and its control plane knows. */
async function runs(version: string): Promise<void> {
  await fleet.until(`/clusters/${stage.clusterId}/nodes/${nodeId}`, (body) => body.agentVersion === version);
  // Who told of the version may have been killed since, and the next one is on its way then.
  await until(
    async () => {
      const started = launchers.flatMap((each) => each.all('launcher.agent_started'));
      const alive = started.map(({ pid }) => Number(pid)).filter(isAlive);
      expect(alive.length).toBeLessThan(2);
      return [await lockHolder(fleet.host.directory(name)), ...alive];
    },
    ([holder, agent]) => agent !== undefined && holder === agent,
  );
}

/** Who is killed, one in each state. */
const VICTIMS = ['launcher', 'agent', 'both', 'agent', 'launcher', 'agent', 'both', 'launcher'] as const;
const boot = () => new BootFiles(fleet.host.directory(name)).readRecord();

describe('an agent under its launcher', () => {
  it(
    'comes to the next version by a rollout although it and its launcher are killed in every state',
    async () => {
      const pack = ['scripts/pack-agent.mjs', '--out', folder, '--version', '0.2.0'];
      await promisify(execFile)(process.execPath, pack, { cwd: projectRoot() });
      await release('0.2.0', join(folder, 'rap-node-agent-0.2.0.tar.gz'));
      launch();
      await launcher.seen('heartbeat.ok');
      await keepsItsWork();
      const rollout = await stage.rollOut('0.2.0');
      const killed: string[] = [];
      for (const whom of VICTIMS) {
        const state = await nextState(killed);
        killed.push(state);
        if (state === 'running') break;
        await kill(whom);
      }
      expect(killed.length).toBeGreaterThan(2);
      expect(await stage.reaches(rollout, 'succeeded', 'paused')).toMatchObject({ state: 'succeeded' });
      await runs('0.2.0');
      await keepsItsWork();
      expect(await boot()).toMatchObject({ current: 'a', trial: null, last: { outcome: 'confirmed' } });
    },
    TIMEOUT_MS,
  );

  it.each<[string, string, string, string, string[]]>([
    ['ends at once', '0.3.0', 'process.exit(1);', 'ended with exit code 1', []],
    [
      'runs and never checks in',
      '0.4.0',
      "process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1_000);",
      'the one before it did',
      ['--check-in-seconds', '1', '--stop-seconds', '1'],
    ],
  ])(
    'goes back where the next version %s, and the rollout hears of it',
    async (_, version, program, reason, times) => {
      await release(version, await broken(version, program));
      await launcher.end('SIGTERM');
      launch(...times);
      const rollout = await stage.rollOut(version);
      expect(await stage.reaches(rollout, 'succeeded', 'paused')).toMatchObject({
        stateReason: 'error_threshold',
      });
      expect(await stage.assignments(rollout)).toMatchObject([
        { state: 'rolled_back', updateState: 'rolled_back', message: expect.stringContaining(reason) },
      ]);
      await runs('0.2.0');
      await keepsItsWork();
      expect(await boot()).toMatchObject({
        current: 'a',
        last: { agentVersion: version, outcome: 'reverted' },
      });
      created(await fleet.plane.api.post(`${stage.path}/${rollout}/cancel`, {}));
    },
    TIMEOUT_MS,
  );

  it(
    'does not try a package that says that it is another version',
    async () => {
      await release('0.5.0', await broken('9.9.9', ''));
      const rollout = await stage.rollOut('0.5.0');
      await stage.reaches(rollout, 'paused');
      expect(await stage.assignments(rollout)).toMatchObject([
        { state: 'failed', message: 'the package holds an agent of version 9.9.9' },
      ]);
      await runs('0.2.0');
      created(await fleet.plane.api.post(`${stage.path}/${rollout}/cancel`, {}));
    },
    TIMEOUT_MS,
  );
});

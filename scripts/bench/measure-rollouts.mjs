import { setTimeout as pause } from 'node:timers/promises';
import { cpuSecondsOf } from './cpu-time.mjs';
import { DiskProbe } from './disk-probe.mjs';
import { requestBytes } from './http-connection.mjs';
import { forgetPeakOf, peakOf } from './memory-peak.mjs';
import { RolloutStock } from './rollout-stock.mjs';

const PLAN_AT_MOST_MS = 10_000;
const TICK_AT_MOST_MS = 200;
const GRANT_AT_MOST_MS = 50;
/** What holds the lock of the product keeps every node waiting that reports. */
const DECISION_AT_MOST_MS = 1_000;
const PAGE = 100;
/** Looks, until a sweep has come by. */
const LOOK_MS = 100;
const PATIENCE_MS = 60_000;
const MIB = 1024 * 1024;

/**
 * A rollout to a large cluster over HTTP: planned, drafted, started, run by nodes that ask for slots all at once, ticked,
 * looked at and taken back.
 * @param {import('./bench-stage.mjs').BenchStage} stage
 * @returns {Promise<import('./report.mjs').Row[]>}
 */
export async function measureRollouts(stage, fleet, sizes, tell) {
  const { rolledOut, updating, slots, updateBeatMs } = sizes;
  // Anew, so that memory is not what earlier parts have left.
  await stage.startService();
  await fleet.fillTo(rolledOut);
  await fleet.authenticate(updating);
  const callers = fleet.nodes.slice(0, updating);
  const stock = new RolloutStock(stage, fleet);
  await stock.publish();
  const body = stock.body(callers, slots);

  tell('  Planning it and drafting it.');
  const planning = await spent(stage, () => stage.call('POST', `${stock.path}/plan`, body));
  const drafting = await spent(stage, () => stage.call('POST', stock.path, body));
  const { id, planHash } = drafting.result;
  if (planHash !== planning.result.planHash) throw new Error('What is drafted is not what was planned.');
  const path = `${stock.path}/${id}`;
  await stage.database.query('ANALYZE rollout_assignments');
  const starting = await spent(stage, () => stage.call('POST', `${path}/start`));

  tell(`  ${updating} nodes that ask for ${slots} slots.`);
  const before = await ticks(stage);
  const disk = new DiskProbe(stage.directory);
  const load = await updateAll(stage, callers, updateBeatMs);
  const flushes = await disk.stop();
  const tickMs = await meanTick(stage, before);
  if (load.mostOut > slots)
    throw new Error(`${load.mostOut} nodes were out of service, where ${slots} may be.`);

  tell('  Opening its last wave, looking at it, and taking it back.');
  await untilOpen(stage, path, 1);
  await stock.finishWave(id, 1);
  const openingMs = await untilOpen(stage, path, 2);
  const looking = await look(stage, sizes, path);
  const listing = await look(stage, sizes, `${path}/nodes?limit=${PAGE}`);
  const returning = await spent(stage, () => stage.call('POST', `${path}/rollback`));

  const of = `of ${rolledOut.toLocaleString('en-US')} nodes`;
  return [
    row(`rollout_plan_${rolledOut}`, `Plan ${of}`, planning.ms, 'ms', PLAN_AT_MOST_MS),
    row(`rollout_plan_cpu_${rolledOut}`, 'Of it, processor time of the service', planning.cpuMs, 'ms'),
    row(`rollout_plan_peak_${rolledOut}`, 'Of it, memory at its peak', planning.peakMib, 'MiB'),
    row(`rollout_plan_others_${rolledOut}`, 'Of it, longest answer to others', planning.othersMs, 'ms'),
    row(`rollout_draft_${rolledOut}`, `Draft ${of}`, drafting.ms, 'ms', PLAN_AT_MOST_MS),
    row(`rollout_draft_peak_${rolledOut}`, 'Of it, memory at its peak', drafting.peakMib, 'MiB'),
    row(`rollout_draft_others_${rolledOut}`, 'Of it, longest answer to others', drafting.othersMs, 'ms'),
    row(`rollout_start_${rolledOut}`, `Start ${of}`, starting.ms, 'ms', DECISION_AT_MOST_MS),
    row(`rollout_tick_${rolledOut}`, `Tick ${of}, while ${updating} report`, tickMs, 'ms', TICK_AT_MOST_MS),
    row(`rollout_open_${rolledOut}`, `Tick that opens a wave ${of}`, openingMs, 'ms', TICK_AT_MOST_MS),
    beside(
      row('rollout_grants_p50', `Grants, ${updating} nodes asking, p50`, load.grants.p50, 'ms'),
      flushes.p50,
    ),
    beside(
      row(
        'rollout_grants_p99',
        `Grants, ${updating} nodes asking, p99`,
        load.grants.p99,
        'ms',
        GRANT_AT_MOST_MS,
      ),
      flushes.p99,
    ),
    row('rollout_flush_longest', 'Longest flush of the disk meanwhile', flushes.longest, 'ms'),
    row('rollout_asks_p99', 'Asking for a slot, p99', load.asks.p99, 'ms'),
    row('rollout_out', 'Nodes out of service at most', load.mostOut, 'nodes', slots),
    row(`rollout_read_${rolledOut}`, `Rollout ${of}, read, p50`, looking.p50, 'ms'),
    row(`rollout_nodes_${rolledOut}`, `Page of ${PAGE} nodes of it, p50`, listing.p50, 'ms'),
    row(`rollout_back_${rolledOut}`, `Rollback ${of}`, returning.ms, 'ms', DECISION_AT_MOST_MS),
  ];
}

function row(id, name, figure, unit, atMost) {
  return { id, name, figure, unit, limit: null, aim: atMost === undefined ? null : { of: 'figure', atMost } };
}

/** What a grant waits for twice at most: its own commit, and that of the reports before it. */
function beside(told, flush) {
  return { ...told, limit: { name: 'a flush of 8 KiB meanwhile', figure: flush } };
}

/** What a call takes: of time, of the service's processor and memory, and of the patience of others. */
async function spent(stage, call) {
  const { pid } = stage.service.process;
  forgetPeakOf(pid);
  const cpu = cpuSecondsOf(pid);
  const startedAt = performance.now();
  let isOver = false;
  const calling = call().finally(() => {
    isOver = true;
  });
  let othersMs = 0;
  while (!isOver) {
    const askedAt = performance.now();
    await (await fetch(`${stage.url}/livez`)).arrayBuffer();
    othersMs = Math.max(othersMs, performance.now() - askedAt);
    await pause(1);
  }
  const result = await calling;
  const ms = performance.now() - startedAt;
  const used = cpuSecondsOf(pid);
  const peak = peakOf(pid);
  return {
    result,
    ms,
    othersMs,
    cpuMs: cpu === null ? null : (used - cpu) * 1000,
    peakMib: peak === null ? null : peak / MIB,
  };
}

/** Lets nodes be updated, each by what its snapshot tells it. */
async function updateAll({ load, port }, callers, everyMs) {
  const { answers } = await load.do('list', {
    port,
    connections: Math.min(32, callers.length),
    requests: callers.map((node) => node.poll()),
    expect: 200,
    keep: 'body',
  });
  const updates = RolloutStock.updatesOf(answers);
  if (updates.includes(null)) throw new Error('Not every node that calls was offered the version.');
  const nodes = callers.map(({ token }, at) => ({ token, update: updates[at] }));
  return load.do('updatingNodes', { port, nodes, everyMs });
}

/** How many ticks there have been, and what they took together. */
async function ticks({ url }) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const sum = (what) =>
    [...text.matchAll(new RegExp(`^fabric_job_duration_seconds_${what}\\{([^}]*)\\} (\\S+)$`, 'gm'))]
      .filter(([, labels]) => labels.includes('name="rollout-tick"'))
      .reduce((total, [, , value]) => total + Number(value), 0);
  return { count: sum('count'), seconds: sum('sum') };
}

/** What a tick has taken since, in milliseconds; where there was none in so short a time, the next one. */
async function meanTick(stage, before) {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const seen = await ticks(stage);
    if (seen.count > before.count)
      return (1000 * (seen.seconds - before.seconds)) / (seen.count - before.count);
    if (performance.now() > deadline) throw new Error('There is no tick.');
    await pause(LOOK_MS);
  }
}

/** Waits until a wave is active. @returns milliseconds of the tick that made it so, or of a few with it among them */
async function untilOpen(stage, path, position) {
  const deadline = performance.now() + PATIENCE_MS;
  let before = await ticks(stage);
  for (;;) {
    const seen = await ticks(stage);
    const { waves } = await stage.call('GET', path);
    const isOpen = waves[position].state === 'active';
    if (isOpen && seen.count > before.count)
      return (1000 * (seen.seconds - before.seconds)) / (seen.count - before.count);
    if (!isOpen) before = seen;
    if (performance.now() > deadline) throw new Error(`Wave ${position} has not become active.`);
    await pause(LOOK_MS);
  }
}

function look({ load, port, ownerToken: token }, { roundMs }, path) {
  const requests = [requestBytes({ path: `/api/v1${path}`, token })];
  return load.do('repeat', { port, connections: 1, requests, expect: 200, durationMs: roundMs });
}

import { writeFile } from 'node:fs/promises';
import { canMoveClocks } from './chaos-postgres.js';
import { ChaosStage, type Crash, type StageSize } from './chaos-stage.js';
import {
  type ActViolation,
  actViolations,
  FencedResource,
  OpenResource,
  refusedActs,
} from './checker/driver-acts.js';
import { endingsOf } from './checker/endings.js';
import { failOversOf, operationsByConnection } from './checker/history.js';
import { type Violation, violations } from './checker/lease-rules.js';
import { Nemesis } from './nemesis.js';
import { Random } from './random.js';

/** What a run is made of. */
export interface ChaosOptions extends StageSize {
  seed: number;
  /** How long the nemesis plays whatever it can; or the faults that it plays once each. */
  plays: { durationMs: number } | { faults: readonly string[] };
  /** Ends with the loss of the primary database to a standby that lags. */
  failOver: boolean;
  /** Where the history is written, as a JSON array of Jepsen's entries; null: nowhere. */
  historyFile: string | null;
  log: (line: string) => void;
}

/** What a run has found. */
export interface ChaosResult {
  violations: Violation[];
  /** What a resource that checks tokens took and should not have. */
  fenced: ActViolation[];
  /** The same of one that takes everything: with no fencing at all, the run has to find something. */
  open: ActViolation[];
  /** Answers that call themselves a fault of the service, with what it logged of them. */
  faults: { error: string; log: string[] }[];
  /** Processes that nobody had ended. */
  crashes: Crash[];
  /** Acts that the checking resource refused. */
  refusedActs: number;
  operations: Record<string, number>;
  acts: number;
  /** What the nemesis did, by its name and how often. */
  deeds: Record<string, number>;
  /** Connections without a driver that works, once everything is well again: after the nemesis, and after a fail-over. */
  notRecovered: number;
}

/** How long the system may take to come back once it is left alone, in lifetimes of a lease. */
const RECOVERY_LIFETIMES = 12;

/** Lets a nemesis loose on everything, and looks afterwards what clients and drivers have seen. Bounded in time. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, plays, failOver, historyFile, log } = options;
  log(`seed ${seed}: ${options.agents} agents, ${options.connections} connections`);
  const stage = await ChaosStage.open(options, new Random(seed + 1));
  try {
    const ttlMs = options.leaseTtlSeconds * 1_000;
    const recovery = (since: number) => idleConnections(stage, since, ttlMs * RECOVERY_LIFETIMES);
    await recovery(0);
    const nemesis = new Nemesis(stage, new Random(seed), ttlMs);
    log(`the nemesis can: ${nemesis.repertoire.join(', ')}`);
    if ('faults' in plays) await nemesis.playAll(plays.faults);
    else await nemesis.run(plays.durationMs);
    let notRecovered = await recovery(Number(process.hrtime.bigint()));
    log('now an act has to come too late');
    await nemesis.provokeStaleAct();
    if (failOver) {
      log('now the database is lost');
      await nemesis.failOver();
      if (canMoveClocks) await nemesis.passHold();
      if (canMoveClocks) notRecovered += await recovery(Number(process.hrtime.bigint()));
    }
    return await judge(stage, nemesis, notRecovered, historyFile);
  } finally {
    await stage.close();
  }
}

/** Waits until a driver has worked on each connection since `since`; returns on how many none has. */
async function idleConnections(stage: ChaosStage, since: number, patienceMs: number): Promise<number> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const acts = [...(await stage.acts()).values()];
    const idle = acts.filter((each) => !each.some(({ act, time }) => act === 'work' && time > since)).length;
    if (idle === 0 || performance.now() > deadline) return idle;
    await stage.tick();
  }
}

async function judge(
  stage: ChaosStage,
  nemesis: Nemesis,
  notRecovered: number,
  historyFile: string | null,
): Promise<ChaosResult> {
  const { entries } = stage.recorder;
  const actsOf = await stage.acts();
  const acts = [...actsOf.values()];
  if (historyFile !== null) await writeFile(historyFile, JSON.stringify(entries));
  const failOvers = failOversOf(entries);
  const byConnection = [...operationsByConnection(entries)];
  const { forwardSteps } = nemesis;
  const of = (resource: () => FencedResource | OpenResource) =>
    byConnection.flatMap(([connectionId, operations]) =>
      actViolations(actsOf.get(connectionId) ?? [], resource(), {
        forwardSteps,
        endings: endingsOf(operations),
      }),
    );
  const clients = entries.flatMap((entry) => (entry.process === 'nemesis' ? [] : [entry]));
  const faults = clients.flatMap(({ error }) => (error?.startsWith('status 500') ? [error] : []));
  return {
    violations: byConnection.flatMap(([connectionId, each]) => violations(connectionId, each, failOvers)),
    fenced: of(() => new FencedResource()),
    open: of(() => new OpenResource()),
    faults: faults.map((error) => ({ error, log: stage.logOf(error.split(' ').at(-1) ?? '') })),
    crashes: stage.crashes,
    refusedActs: acts.flatMap((each) => refusedActs(each, new FencedResource())).length,
    operations: counted(clients.filter(({ type }) => type !== 'invoke').map(({ f, type }) => `${f} ${type}`)),
    acts: acts.flat().length,
    deeds: counted(entries.flatMap(({ process, f }) => (process === 'nemesis' ? [f] : []))),
    notRecovered,
  };
}

function counted(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

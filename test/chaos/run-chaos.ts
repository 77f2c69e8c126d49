import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChaosStage, type StageSize } from './chaos-stage.js';
import {
  type ActViolation,
  actViolations,
  FencedResource,
  OpenResource,
  refusedActs,
} from './checker/driver-acts.js';
import { operationsByConnection } from './checker/history.js';
import { type Violation, violations } from './checker/lease-rules.js';
import { type Deed, Nemesis } from './nemesis.js';
import { Random } from './random.js';

/** What a run is made of. */
export interface ChaosOptions extends StageSize {
  seed: number;
  durationMs: number;
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
  /** The same of one that takes everything. */
  open: ActViolation[];
  /** Acts that the checking resource refused. */
  refusedActs: number;
  operations: Record<string, number>;
  acts: number;
  deeds: Deed[];
  /** Connections whose driver works again once everything is well. */
  recovered: number;
}

/** How long the system may take to come back once it is left alone, in lifetimes of a lease. */
const RECOVERY_LIFETIMES = 8;

/** Lets a nemesis loose on everything, and looks afterwards what clients and drivers have seen. Bounded in time. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, durationMs, failOver, historyFile, log } = options;
  const random = new Random(seed);
  log(`seed ${seed}: ${options.agents} agents, ${options.connections} connections`);
  const stage = await ChaosStage.open(options, random);
  try {
    const ttlMs = options.leaseTtlSeconds * 1_000;
    await workedOn(stage, 0, ttlMs * RECOVERY_LIFETIMES);
    const nemesis = new Nemesis(stage, random, ttlMs);
    log(`the nemesis can: ${nemesis.repertoire.join(', ')}`);
    await nemesis.run(durationMs);
    const healedAt = Number(process.hrtime.bigint());
    const recovered = await workedOn(stage, healedAt, ttlMs * RECOVERY_LIFETIMES);
    if (failOver) await nemesis.failOver();
    if (failOver) await sleep(ttlMs * 2);
    return await judge(stage, nemesis, recovered, historyFile);
  } finally {
    await stage.close();
  }
}

/** Waits until a driver has worked on each connection since `since`; returns on how many one has. */
async function workedOn(stage: ChaosStage, since: number, patienceMs: number): Promise<number> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const acts = await stage.acts();
    const alive = [...acts.values()].filter((each) =>
      each.some(({ act, time }) => act === 'work' && time > since),
    ).length;
    if (alive === acts.size || performance.now() > deadline) return alive;
    await sleep(100);
  }
}

async function judge(
  stage: ChaosStage,
  nemesis: Nemesis,
  recovered: number,
  historyFile: string | null,
): Promise<ChaosResult> {
  const { entries } = stage.recorder;
  const acts = [...(await stage.acts()).values()];
  if (historyFile !== null) await writeFile(historyFile, JSON.stringify(entries));
  const byConnection = [...operationsByConnection(entries)];
  const operations: Record<string, number> = {};
  for (const { f, type } of entries.filter((entry) => entry.type !== 'invoke')) {
    operations[`${f} ${type}`] = (operations[`${f} ${type}`] ?? 0) + 1;
  }
  const of = (resource: () => FencedResource | OpenResource) =>
    acts.flatMap((each) => actViolations(each, resource(), nemesis.forwardSteps));
  return {
    violations: byConnection.flatMap(([connectionId, each]) => violations(connectionId, each)),
    fenced: of(() => new FencedResource()),
    open: of(() => new OpenResource()),
    refusedActs: acts.reduce((sum, each) => sum + refusedActs(each, new FencedResource()), 0),
    operations,
    acts: acts.reduce((sum, each) => sum + each.length, 0),
    deeds: nemesis.deeds,
    recovered,
  };
}

import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { HealthLooksRepository, type HealthTransition, type MemberKey } from './health-looks.repository.js';

const SWEEP_SECONDS = 10;
/** Transitions written down in one transaction. */
const BATCH = 500;

/** Up to when this process knows the records of a cluster to be right, but for looks that the tables themselves ask for. */
interface Watched {
  /** Of the policy under which that is so. */
  version: string;
  lookedAt: Date;
  /** Until then nobody can fall silent: heartbeats only ever put that off. */
  nextAt: Date;
}

/**
 * Writes down what every reader knows already: that a node went stale, offline or came back. Decides nothing.
 *
 * Who may have changed is found without reading everybody: the tables ask for looks at nodes of which they say something
 * new (`node_health_looks`), silence is looked for when the first node of a cluster can have fallen silent, and the silent
 * are asked whether they are back. What this process has not watched from the beginning it looks at as a whole.
 */
@Injectable()
export class HealthWatch implements OnModuleInit {
  private watched = new Map<string, Watched>();
  /** The latest time that a sweep has seen. */
  private latest = new Date(0);
  private wasBehind = false;

  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly looks: HealthLooksRepository,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    // Perhaps another database, or an older copy of this one. A new object: what is under way tells of the old one.
    this.changes.onGap(() => {
      this.watched = new Map();
    });
    this.jobs.define({
      queue: 'nodes',
      name: 'health',
      everySeconds: SWEEP_SECONDS,
      run: () => this.sweep(),
    });
  }

  /** Writes down every transition that has no record yet, by the time that decides over what rests on its age. */
  async sweep(): Promise<void> {
    const { policies, crowded, returned } = await this.transactor.read(async (tx) => {
      const [policies, crowded, returned] = await Promise.all([
        this.looks.policies(tx),
        this.looks.crowded(tx),
        this.looks.silentNoMore(tx),
      ]);
      return { policies, crowded, returned };
    });
    const { now, versions } = policies;
    this.keepUpWith(now);
    const { watched } = this;
    for (const id of watched.keys()) if (!versions.has(id)) watched.delete(id);
    const isKnown = ([id, version]: [string, string]) =>
      watched.get(id)?.version === version && !crowded.includes(id);
    const unknown = [...versions].filter((each) => !isKnown(each));
    if (unknown.length > 0) {
      const lookedAt = await this.lookAtAll(
        unknown.map(([id]) => id),
        crowded,
      );
      for (const [id, version] of unknown) watched.set(id, { version, lookedAt, nextAt: now });
    }
    await this.lookAt(returned);
    await this.lookForSilence(watched, now);
    while ((await this.takeSome()) === BATCH);
  }

  /** While the clock is behind what it has shown, looks have been made that are due once more. */
  private keepUpWith(now: Date): void {
    const isBehind = now < this.latest;
    if (isBehind || this.wasBehind) this.watched = new Map();
    this.wasBehind = isBehind;
    if (!isBehind) this.latest = now;
  }

  /** @returns up to when nothing is left to be written down */
  private async lookAtAll(clusterIds: readonly string[], crowded: readonly string[]): Promise<Date> {
    const some = () =>
      this.observe(async (tx) => ({ found: await this.looks.recordAll(tx, clusterIds, BATCH) }));
    let seen = await some();
    while (seen.found.length === BATCH) seen = await some();
    if (crowded.length > 0)
      await this.observe(async (tx) => {
        await this.looks.takeAll(tx, crowded);
        // Hardly any: what has happened since.
        return { found: await this.looks.recordAll(tx, crowded, Number.MAX_SAFE_INTEGER) };
      });
    return seen.now;
  }

  private async lookForSilence(watched: Map<string, Watched>, now: Date): Promise<void> {
    const before = new Map([...watched].filter(([, { nextAt }]) => nextAt <= now));
    if (before.size === 0) return;
    const since = new Map([...before].map(([id, { lookedAt }]) => [id, lookedAt]));
    const seen = await this.transactor.read((tx) => this.looks.silences(tx, since));
    await this.lookAt(
      seen.found.flatMap(({ clusterId, nodeIds }) => nodeIds.map((nodeId) => ({ clusterId, nodeId }))),
    );
    for (const { clusterId, nextAt } of seen.found) {
      const known = before.get(clusterId);
      // Another sweep may have looked under another policy.
      if (known !== undefined && watched.get(clusterId) === known)
        watched.set(clusterId, { ...known, lookedAt: seen.now, nextAt });
    }
  }

  private async lookAt(nodes: readonly MemberKey[]): Promise<void> {
    for (let from = 0; from < nodes.length; from += BATCH) {
      const some = nodes.slice(from, from + BATCH);
      await this.observe(async (tx) => ({ found: await this.looks.recordOf(tx, some) }));
    }
  }

  /** Looks at nodes as the tables ask for it. @returns at how many, where there may be more */
  private async takeSome(): Promise<number> {
    const { taken } = await this.observe(async (tx) => {
      const nodes = await this.looks.take(tx, BATCH);
      return { taken: nodes.length, found: nodes.length === 0 ? [] : await this.looks.recordOf(tx, nodes) };
    });
    return taken;
  }

  private observe<T extends { found: HealthTransition[] }>(
    work: (tx: Tx) => Promise<T>,
  ): Promise<T & { now: Date }> {
    return this.transactor.observe(systemActor('health-watch'), async (tx) => {
      const now = await this.looks.lock(tx);
      const done = await work(tx);
      return { result: { ...done, now }, events: done.found.map(healthChanged) };
    });
  }
}

function healthChanged({ clusterId, nodeId, name, before, after, riskyStates }: HealthTransition) {
  return {
    action: 'node.health_changed' as const,
    resource: { type: 'node', id: nodeId, name },
    clusterId,
    outcome: 'success' as const,
    highRisk: false,
    reason: null,
    before: { health: before },
    after: { health: after, riskyStates },
  };
}

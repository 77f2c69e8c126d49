import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { Metrics } from '../../common/observability/metrics.js';
import { Pacer } from '../../common/waiting/pacer.js';
import type { Departure } from './departure.js';
import { returnAfterSeconds, returnSeconds } from './return-spread.js';
import { type Holding, Watch } from './watch.js';

/** Requests of nodes that wait for their next snapshot. A change of one node wakes that node and no other. */
@Injectable()
export class HeldPolls implements OnModuleInit, BeforeApplicationShutdown {
  private readonly watches = new Map<string, Map<string, Set<Holding>>>();
  private readonly pacer = new Pacer<Holding>((holding) =>
    holding.release(this.isStopping ? 'stopping' : 'changed'),
  );
  private count = 0;
  /** Those of them that want to hear of leases, too. */
  private readonly hintable = new Set<Holding>();
  private isStopping = false;
  /** Over how many seconds those who are sent away come back. */
  private spreadSeconds = 1;

  constructor(
    private readonly changes: ChangeReader,
    metrics: Metrics,
  ) {
    const gauge: Gauge = new Gauge({
      name: 'fabric_held_polls',
      help: 'Polls that wait for a change.',
      registers: [metrics.registry],
      collect: () => gauge.set(this.count),
    });
  }

  onModuleInit(): void {
    this.changes.onGap(() => this.wakeAll());
    this.changes.subscribe((changes) => {
      for (const { clusterId, nodeId, kind, resourceType, resourceId } of changes) {
        if (clusterId === null) continue;
        const node = nodeId ?? (resourceType === 'node' ? resourceId : null);
        if (node !== null) this.wake(clusterId, node);
        else if (kind === 'snapshot.changed') this.wakeCluster(clusterId);
      }
    });
  }

  /** Answers everybody who waits, and lets nobody wait any more. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    this.spreadSeconds = returnSeconds(this.count);
    this.wakeAll();
    await this.pacer.emptied();
  }

  /**
   * Watches for changes of the node from now on: begun before its state is looked at, so that none falls in between.
   * To be closed. @param wantsHints of leases, too
   */
  watch(
    clusterId: string,
    nodeId: string,
    { caller, wantsHints }: { caller: Departure; wantsHints: boolean },
  ): Watch {
    const watch = new Watch(caller, () => this.remove(clusterId, nodeId, watch));
    this.add(clusterId, nodeId, watch, wantsHints);
    return watch;
  }

  /** Holds something from now on, until it is removed. */
  add(clusterId: string, nodeId: string, holding: Holding, wantsHints: boolean): void {
    if (wantsHints) this.hintable.add(holding);
    const nodes = this.watches.get(clusterId) ?? new Map<string, Set<Holding>>();
    this.watches.set(clusterId, nodes);
    const held = nodes.get(nodeId) ?? new Set<Holding>();
    nodes.set(nodeId, held.add(holding));
    this.count += 1;
    if (this.isStopping) holding.release('stopping');
  }

  /** Whether anybody wants to hear of leases. */
  get wantHints(): boolean {
    return this.hintable.size > 0;
  }

  /** Wakes the node, where it wants to hear of leases, to look at that of the connection. */
  hint(clusterId: string, nodeId: string, connectionId: string): void {
    for (const watch of this.watches.get(clusterId)?.get(nodeId) ?? []) {
      if (!this.hintable.has(watch)) continue;
      watch.hint(connectionId);
      this.pacer.add(watch, 'first');
    }
  }

  /** When a node that is sent away may come back. */
  returnAfterSeconds(nodeId: string): number {
    return returnAfterSeconds(nodeId, this.spreadSeconds);
  }

  /** Repeatable. */
  remove(clusterId: string, nodeId: string, watch: Holding): void {
    const watches = this.watches.get(clusterId)?.get(nodeId);
    if (watches?.delete(watch) !== true) return;
    this.count -= 1;
    this.hintable.delete(watch);
    if (watches.size === 0) this.watches.get(clusterId)?.delete(nodeId);
  }

  /** What concerns one node goes first: it may be the end of its membership, and there are never many. */
  private wake(clusterId: string, nodeId: string): void {
    for (const watch of this.watches.get(clusterId)?.get(nodeId) ?? []) this.pacer.add(watch, 'first');
  }

  private wakeCluster(clusterId: string): void {
    for (const watches of this.watches.get(clusterId)?.values() ?? []) {
      for (const watch of watches) this.pacer.add(watch, 'crowd');
    }
  }

  private wakeAll(): void {
    for (const clusterId of this.watches.keys()) this.wakeCluster(clusterId);
  }
}

import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { Metrics } from '../../common/observability/metrics.js';

/** How a held poll ended. */
export type Release = 'changed' | 'timeout' | 'gone' | 'stopping';

type Waiter = (release: Release) => void;

/** Requests of nodes that wait for their next snapshot. A change of one node wakes that node and no other. */
@Injectable()
export class HeldPolls implements OnModuleInit, BeforeApplicationShutdown {
  private readonly waiters = new Map<string, Map<string, Set<Waiter>>>();
  private readonly held: Gauge;
  private isStopping = false;

  constructor(
    private readonly changes: ChangeReader,
    metrics: Metrics,
  ) {
    this.held = new Gauge({
      name: 'fabric_held_polls',
      help: 'Polls that wait for a change.',
      registers: [metrics.registry],
    });
  }

  onModuleInit(): void {
    this.changes.onGap(() => this.releaseAll('changed'));
    this.changes.subscribe((changes) => {
      for (const { clusterId, nodeId, kind, resourceType, resourceId } of changes) {
        if (clusterId === null) continue;
        const node = nodeId ?? (resourceType === 'node' ? resourceId : null);
        if (node !== null) this.wake(clusterId, node);
        else if (kind === 'snapshot.changed') this.wakeCluster(clusterId);
      }
    });
  }

  beforeApplicationShutdown(): void {
    this.isStopping = true;
    this.releaseAll('stopping');
  }

  /** Waits until the node may have a new snapshot, `waitMs` have passed, the caller is gone or the service stops. */
  wait(clusterId: string, nodeId: string, waitMs: number, gone: AbortSignal): Promise<Release> {
    if (this.isStopping) return Promise.resolve('stopping');
    if (gone.aborted) return Promise.resolve('gone');
    return new Promise((resolve) => {
      const finish: Waiter = (release) => {
        clearTimeout(timer);
        gone.removeEventListener('abort', leave);
        this.remove(clusterId, nodeId, finish);
        resolve(release);
      };
      const leave = () => finish('gone');
      const timer = setTimeout(finish, waitMs, 'timeout');
      gone.addEventListener('abort', leave, { once: true });
      this.add(clusterId, nodeId, finish);
    });
  }

  private add(clusterId: string, nodeId: string, waiter: Waiter): void {
    const nodes = this.waiters.get(clusterId) ?? new Map<string, Set<Waiter>>();
    this.waiters.set(clusterId, nodes);
    const waiters = nodes.get(nodeId) ?? new Set<Waiter>();
    nodes.set(nodeId, waiters.add(waiter));
    this.held.inc();
  }

  private remove(clusterId: string, nodeId: string, waiter: Waiter): void {
    const waiters = this.waiters.get(clusterId)?.get(nodeId);
    if (waiters?.delete(waiter) !== true) return;
    this.held.dec();
    if (waiters.size === 0) this.waiters.get(clusterId)?.delete(nodeId);
  }

  private wake(clusterId: string, nodeId: string): void {
    for (const waiter of [...(this.waiters.get(clusterId)?.get(nodeId) ?? [])]) waiter('changed');
  }

  private wakeCluster(clusterId: string): void {
    for (const nodeId of [...(this.waiters.get(clusterId)?.keys() ?? [])]) this.wake(clusterId, nodeId);
  }

  private releaseAll(release: Release): void {
    for (const nodes of [...this.waiters.values()]) {
      for (const waiters of [...nodes.values()]) for (const waiter of [...waiters]) waiter(release);
    }
  }
}

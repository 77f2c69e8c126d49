import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { MassLapse } from '../authority/mass-lapse.js';
import { MassLapses } from '../authority/mass-lapses.service.js';
import { judgeFindings, type PartitionFinding } from '../authority/partition.js';
import { type PartitionLook, PartitionsService } from '../authority/partitions.service.js';
import { findPartitions, heldKinds, partitionRules } from './partition-detection.js';
import { PartitionEvidenceRepository, type WatchedCluster } from './partition-evidence.repository.js';

const SWEEP_SECONDS = 10;

/**
 * Looks for clusters that are cut in two, and for mass lapses of nodes. One look over all clusters is a few statements;
 * where it shows something new the cluster is looked at again, alone and under the lock of its authority, so that of
 * several workers one acts, and upon what is true then.
 */
@Injectable()
export class PartitionWatch implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly evidence: PartitionEvidenceRepository,
    private readonly partitions: PartitionsService,
    private readonly lapses: MassLapses,
  ) {}

  onModuleInit(): void {
    const job = { queue: 'nodes', name: 'partitions', everySeconds: SWEEP_SECONDS };
    this.jobs.define({ ...job, run: () => this.sweep() });
  }

  async sweep(): Promise<void> {
    // First: what has lapsed at once is no evidence of anything else.
    await this.noteMassLapses();
    for (const clusterId of await this.withNews()) await this.act(clusterId);
    await this.evidence.prune();
  }

  private async noteMassLapses(): Promise<void> {
    const { found, standing } = await this.transactor.read(async (tx) => ({
      found: await this.evidence.massLapses(tx),
      standing: (await this.lapses.list(tx, 'all')).filter(({ kind }) => kind === 'nodes'),
    }));
    const begun = [...found].filter(([id]) => !standing.some(({ clusterId }) => clusterId === id));
    const over = standing.filter(({ clusterId }) => !found.has(clusterId));
    const news: [string, MassLapse | null][] = [
      ...begun,
      ...over.map(({ clusterId }): [string, null] => [clusterId, null]),
    ];
    for (const [clusterId, lapse] of news) {
      await this.transactor.observe(systemActor('partition-watch'), async (tx) => ({
        result: undefined,
        events: await this.lapses.note(tx, clusterId, 'nodes', lapse),
      }));
    }
  }

  /** Clusters where something is found that is not written down, or gone and not written off. */
  private withNews(): Promise<string[]> {
    return this.transactor.read(async (tx) => {
      const known = await this.partitions.known(tx);
      const braked = await this.braked(tx, 'all');
      const clusters = await this.evidence.watched(tx, { others: known.map(({ clusterId }) => clusterId) });
      return clusters.flatMap((cluster) => {
        const { clusterId, authority } = cluster;
        const { findings, held } = this.look(tx, cluster, braked.has(clusterId));
        const ofCluster = known.filter((partition) => partition.clusterId === clusterId);
        const { opens, returns, clears } = judgeFindings(authority.state, findings, ofCluster, held);
        return opens.length + returns.length + clears.length > 0 ? [clusterId] : [];
      });
    });
  }

  private act(clusterId: string): Promise<void> {
    return this.transactor.observe(systemActor('partition-watch'), async (tx) => ({
      result: undefined,
      events: await this.partitions.judge(tx, clusterId, async () => {
        const [cluster] = await this.evidence.watched(tx, { clusterId });
        if (cluster === undefined) return null;
        return this.look(tx, cluster, (await this.braked(tx, [clusterId])).has(clusterId));
      }),
    }));
  }

  /** Clusters of whose nodes more than half lapsed at once. */
  private async braked(tx: ReadTx, clusterIds: readonly string[] | 'all'): Promise<Set<string>> {
    const lapses = await this.lapses.list(tx, clusterIds);
    return new Set(lapses.filter(({ kind }) => kind === 'nodes').map(({ clusterId }) => clusterId));
  }

  private look(tx: ReadTx, cluster: WatchedCluster, isBraked: boolean): PartitionLook {
    const sight = { ...cluster, isBraked };
    return {
      findings: findPartitions(partitionRules(cluster.policy), sight),
      held: heldKinds(sight),
      sidesOf: (finding) => this.sides(tx, cluster, finding),
    };
  }

  private sides(tx: ReadTx, cluster: WatchedCluster, { kind, evidence }: PartitionFinding) {
    if (kind === 'quorum_lost') return this.evidence.sidesOfQuorum(tx, cluster);
    const { term, holder } = evidence;
    return this.evidence.sidesOfContradiction(tx, cluster, {
      term: Number(term),
      holder: holder as string | null,
    });
  }
}

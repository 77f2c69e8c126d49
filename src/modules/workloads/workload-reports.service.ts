import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Batches } from '../../common/batching/batches.js';
import { conflict } from '../../common/errors/domain-error.js';
import { type Actor, systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { type HeartbeatFollower, HeartbeatFollowers } from '../nodes/heartbeat-followers.js';
import { type LastHeartbeat, ReportMarks } from '../nodes/report-marks.js';
import { keptTail } from './report-text.js';
import type { WorkloadKey } from './workload.js';
import {
  type KnownReport,
  MAX_UNDESIRED,
  type MergedHeartbeat,
  markOf,
  mergeHeartbeat,
  mergeReport,
  type Said,
  said,
  saidOf,
} from './workload-report.js';
import { WorkloadReportsRepository } from './workload-reports.repository.js';
import type { ReportWorkload, WorkloadStatusView } from './workload-reports.schema.js';

/** Reports that wait this long, in milliseconds, share one commit. */
const GATHER_MS = 4;
const BATCH = 500;
/** A wave of news must leave the pool to heartbeats, which wait for it. */
const MAX_WRITES = 2;
const MAX_WAITING = 20_000;

/** What a heartbeat says that is news. */
interface News {
  clusterId: string;
  nodeId: string;
  agentInstanceId: string | null;
  sequence: number;
  workloads: ReadonlyMap<string, Said>;
  mark: number;
}

/** Takes in what agents report of their workloads, with heartbeats or one by one. */
@Injectable()
export class WorkloadReportsService implements OnModuleInit {
  private readonly batches: Batches<News, true>;

  constructor(
    private readonly transactor: Transactor,
    private readonly reports: WorkloadReportsRepository,
    private readonly marks: ReportMarks,
    private readonly followers: HeartbeatFollowers,
  ) {
    this.batches = new Batches<News, true>({
      keyOf: nodeKey,
      write: async (news) => {
        await this.takeIn(news);
        return new Map(news.map((each) => [nodeKey(each), true]));
      },
      gatherMs: GATHER_MS,
      size: BATCH,
      maxWrites: MAX_WRITES,
      maxWaiting: MAX_WAITING,
    });
  }

  onModuleInit(): void {
    this.followers.add(this.follow);
  }

  /**
   * Takes one report.
   * @throws conflict `stale_report` for an instance that another has taken the place of, `too_many_workloads` for yet
   * another one that nobody wants
   */
  report(actor: Actor, key: WorkloadKey, { logTail, ...input }: ReportWorkload): Promise<WorkloadStatusView> {
    const report = said(input);
    const log = logTail === undefined ? null : keptTail(logTail);
    return this.transactor.observe(actor, async (tx) => {
      await this.marks.lock(tx, [key]);
      const known = await this.reports.lockOf(tx, [key]);
      const now = await tx.clock(); // after the locks: what held them is earlier
      const last = known.find(({ serviceType }) => serviceType === key.serviceType) ?? null;
      if (last === null && known.filter(({ isDesired }) => !isDesired).length >= MAX_UNDESIRED)
        throw conflict('too_many_workloads', 'The node reports too many workloads that nobody wants.');
      const merged = mergeReport(key, last, report, now);
      if (merged.verdict === 'late')
        throw conflict('stale_report', 'Another instance of the workload has been reported since.');
      if (merged.verdict === 'changed') {
        await this.reports.write(tx, [merged.next]);
        await this.reports.addTransitions(tx, merged.transition === null ? [] : [merged.transition]);
        // The next heartbeat may say again what the last one said.
        await this.marks.set(tx, [{ ...key, mark: null }]);
      }
      if (log !== null) await this.reports.writeLog(tx, key, report.instanceId, log);
      const reportedAt = merged.verdict === 'changed' ? now : (last?.reportedAt ?? now);
      return { result: { serviceType: key.serviceType, ...report, reportedAt: reportedAt.toISOString() } };
    });
  }

  private readonly follow: HeartbeatFollower = (_actor, beat, { isNews, reportMark }) => {
    if (beat.workloads === undefined || !isNews) return undefined;
    const workloads = saidOf(beat.workloads);
    const mark = markOf(workloads);
    if (mark === reportMark) return undefined;
    const { clusterId, nodeId, agentInstanceId = null, sequence } = beat;
    return this.batches
      .add({ clusterId, nodeId, agentInstanceId, sequence, workloads, mark })
      .then(() => undefined);
  };

  /** Takes in the news of many nodes together. What changes is what is kept, not who is to be told. */
  private takeIn(news: readonly News[]): Promise<void> {
    return this.transactor.observe(systemActor('workload-reports'), async (tx) => {
      await this.marks.lock(tx, news);
      const last = new Map((await this.marks.lastHeartbeats(tx, news)).map((beat) => [nodeKey(beat), beat]));
      const current = news.filter((each) => !isOvertaken(each, last.get(nodeKey(each))));
      if (current.length > 0) await this.merge(tx, current);
      return { result: undefined };
    });
  }

  private async merge(tx: Tx, news: readonly News[]): Promise<void> {
    const known = new Map<string, KnownReport[]>(news.map((each) => [nodeKey(each), []]));
    for (const report of await this.reports.lockOf(tx, news)) known.get(nodeKey(report))?.push(report);
    const now = await tx.clock(); // after the locks: what held them is earlier
    const merged = news.map((each) => {
      const { clusterId, nodeId, workloads } = each;
      return mergeHeartbeat({ clusterId, nodeId }, known.get(nodeKey(each)) ?? [], workloads, now);
    });
    const all = <T>(pick: (each: MergedHeartbeat) => T[]): T[] => merged.flatMap(pick);
    const written = all((each) => each.written);
    const silenced = all((each) => each.silenced);
    const removed = all((each) => each.removed);
    const transitions = all((each) => each.transitions);
    await this.reports.write(tx, written);
    await this.reports.silence(tx, silenced, now);
    await this.reports.remove(tx, removed);
    await this.reports.addTransitions(tx, transitions);
    const marks = news.map(({ clusterId, nodeId, mark }, index) => ({
      clusterId,
      nodeId,
      mark: merged[index]?.isComplete === true ? mark : null,
    }));
    await this.marks.set(tx, marks);
  }
}

/** Whether a later heartbeat has been written since, on another instance of the service: its report is the newer one. */
function isOvertaken({ agentInstanceId, sequence }: News, last: LastHeartbeat | undefined): boolean {
  if (last === undefined || (agentInstanceId === null && last.agentInstanceId !== null)) return false;
  return last.agentInstanceId !== agentInstanceId || last.sequence !== sequence;
}

function nodeKey({ clusterId, nodeId }: { clusterId: string; nodeId: string }): string {
  return `${clusterId}/${nodeId}`;
}

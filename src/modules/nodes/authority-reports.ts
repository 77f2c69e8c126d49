import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HeartbeatFollowers } from './heartbeat-followers.js';
import type { HeartbeatRow, NodeHeartbeat } from './heartbeats.repository.js';
import { contradictionsIn } from './partition-detection.js';
import { PartitionEvidenceRepository } from './partition-evidence.repository.js';

/** Reports written at a time by one process: in a cluster cut in two every heartbeat brings some, and few are enough. */
const MAX_WRITES = 8;

/**
 * Keeps what heartbeats say of authorities that cannot be beside the one known here. Whoever has nothing of the kind to
 * say costs nothing; a report that finds no room comes again with the next heartbeat.
 */
@Injectable()
export class AuthorityReports implements OnModuleInit {
  private writes = 0;

  constructor(
    private readonly followers: HeartbeatFollowers,
    private readonly evidence: PartitionEvidenceRepository,
  ) {}

  onModuleInit(): void {
    this.followers.add((_, beat, row) => this.follow(beat, row));
  }

  private follow(beat: NodeHeartbeat, row: HeartbeatRow): Promise<void> | undefined {
    if (!row.watchesPartitions || this.writes >= MAX_WRITES) return undefined;
    const known = { term: row.authorityTerm, holder: row.authorityHolder };
    const reports = contradictionsIn(beat.nodeId, beat, known);
    if (reports.length === 0) return undefined;
    this.writes += 1;
    return this.evidence.report(beat, reports).finally(() => {
      this.writes -= 1;
    });
  }
}

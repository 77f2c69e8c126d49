import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { projectRoot } from '../../src/common/project-root.js';
import { createScratchDataDirectory } from '../support/scratch-data-directory.js';

/** Building comes first where nobody has built yet. */
const PATIENCE_MS = 600_000;

/**
 * Nothing is written for a refusal, and nobody else woken; pgbench and etcd are not on every machine; so short a time
 * needs hardly any memory or processor.
 */
const MAY_BE_NOTHING =
  /^(watch_memory|change_one_others|lease_(refusal_wal|etcd|steady_cpu.*)$|rollout_plan_cpu)/;

interface Row {
  id: string;
  name: string;
  figure: number | null;
  limit: { figure: number } | null;
}

it(
  'the benchmark measures every row in a smoke run, prints it and keeps it as JSON',
  async () => {
    const scratch = await createScratchDataDirectory();
    const file = join(scratch.path, 'bench.json');
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(projectRoot(), 'scripts', 'bench.mjs'),
      '--smoke',
      '--json',
      file,
    ]);
    const { rows } = JSON.parse(readFileSync(file, 'utf8')) as { rows: Row[] };
    expect(rows.map((row) => row.id)).toEqual(ROWS);
    for (const { name } of rows) expect(stdout).toContain(name);
    const isMeasured = (figure: number | null) => figure !== null && figure > 0;
    const unmeasured = rows.filter(
      ({ figure, limit }) => !isMeasured(figure) || (limit !== null && !isMeasured(limit.figure)),
    );
    expect(unmeasured.filter(({ id }) => !MAY_BE_NOTHING.test(id))).toEqual([]);
  },
  PATIENCE_MS,
);

const ROWS = [
  'ed25519_sign',
  'ed25519_verify',
  'enrollments',
  'approvals',
  'node_tokens',
  'unchanged_polls',
  'heartbeats',
  'heartbeats_p50',
  'heartbeats_p99',
  'lease_renewals',
  'lease_renewals_p99',
  'lease_renewals_a_commit',
  'lease_acquisitions',
  'lease_acquisitions_p99',
  'lease_refusals',
  'lease_refusal_wal',
  'lease_steady',
  'lease_steady_p99',
  'lease_steady_cpu_service',
  'lease_steady_cpu_database',
  'lease_steady_wal',
  'lease_etcd',
  'changed_polls',
  'watch_memory_20',
  'change_one_p50_20',
  'change_one_p99_20',
  'change_one_others_20',
  'change_all_p50_20',
  'change_all_p99_20',
  'change_all_call_20',
  'node_list_20',
  'node_list_p99_20',
  'node_list_40',
  'node_list_p99_40',
  'unchanged_poll_cost_40',
  'changed_poll_cost_40',
  'role_coverage_60',
  'rollout_plan_80',
  'rollout_plan_cpu_80',
  'rollout_plan_peak_80',
  'rollout_plan_others_80',
  'rollout_draft_80',
  'rollout_draft_peak_80',
  'rollout_draft_others_80',
  'rollout_start_80',
  'rollout_tick_80',
  'rollout_open_80',
  'rollout_grants_p50',
  'rollout_grants_p99',
  'rollout_flush_longest',
  'rollout_asks_p99',
  'rollout_out',
  'rollout_read_80',
  'rollout_nodes_80',
  'rollout_back_80',
];

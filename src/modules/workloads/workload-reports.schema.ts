import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import {
  ReportedStateField,
  ServiceType,
  WorkloadHealthField,
  WorkloadStatusReport,
} from '../nodes/workload-report.schema.js';

/** Longer than what is kept of a log: a talkative workload is cut short, not refused. */
const MAX_LOG_TAIL = 262_144;

export const ReportWorkload = WorkloadStatusReport.extend({
  logTail: z
    .string()
    .max(MAX_LOG_TAIL)
    .optional()
    .describe('What the workload wrote last: 200 lines and 64 KiB of it are kept, the latest alone.')
    .meta({ example: 'listening on port 7000\n' }),
}).meta({ id: 'ReportWorkload' });
export type ReportWorkload = z.infer<typeof ReportWorkload>;

const version = z.string().nullable().meta({ example: '1.4.2' });
const message = z.string().nullable().meta({ example: 'Listening on port 7000.' });
const instanceId = z.string().meta({ example: '5f0c1d9e-6a2b-4c7e-9a43-6f6f8f0f9d11' });

/** What is kept of a report. */
export const WorkloadStatusView = z
  .object({
    serviceType: ServiceType,
    instanceId,
    reportedState: ReportedStateField,
    reportedVersion: version,
    health: WorkloadHealthField.nullable(),
    message,
    reportedAt: Instant.describe('When this was first reported.'),
  })
  .meta({ id: 'WorkloadStatus' });
export type WorkloadStatusView = z.infer<typeof WorkloadStatusView>;

export const WorkloadTransitionView = z
  .object({
    id: Id,
    occurredAt: Instant.describe('When the report came.'),
    instanceId: instanceId.nullable(),
    previousState: ReportedStateField,
    reportedState: ReportedStateField,
    reportedVersion: version,
    previousHealth: WorkloadHealthField.nullable(),
    health: WorkloadHealthField.nullable(),
    message,
  })
  .meta({ id: 'WorkloadTransition' });
export type WorkloadTransitionView = z.infer<typeof WorkloadTransitionView>;

export const WorkloadTransitionPage = pageOf(WorkloadTransitionView).meta({ id: 'WorkloadTransitionPage' });

export const WorkloadTransitionQuery = PageQuery;

export const WorkloadLogView = z
  .object({
    serviceType: ServiceType,
    instanceId,
    tail: z
      .string()
      .describe('As reported, less what acts on a terminal.')
      .meta({ example: 'listening on port 7000' }),
    truncated: z.boolean().describe('Whether more was reported than is kept.'),
    reportedAt: Instant,
  })
  .meta({ id: 'WorkloadLog' });
export type WorkloadLogView = z.infer<typeof WorkloadLogView>;

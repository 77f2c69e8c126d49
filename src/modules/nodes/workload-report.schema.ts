import { z } from 'zod';

/** What a service type is named: those of roles, and others that agents know. */
export const SERVICE_TYPE = /^[a-z][a-z0-9.-]{0,62}$/;

/** What agents say of a workload. `unsupported`: the agent cannot run it, and does not pretend to. */
export const REPORTED_STATES = [
  'unknown',
  'starting',
  'running',
  'degraded',
  'stopping',
  'stopped',
  'failed',
  'unsupported',
] as const;
export type ReportedState = (typeof REPORTED_STATES)[number];

export const WORKLOAD_HEALTH = ['healthy', 'unhealthy', 'unknown'] as const;
export type WorkloadHealth = (typeof WORKLOAD_HEALTH)[number];

/** More workloads than any node runs. */
const MAX_WORKLOADS = 128;
/** Longer than what is kept of a message: a talkative agent is cut short, not refused. */
const MAX_MESSAGE = 16_384;

export const ServiceType = z
  .string()
  .regex(SERVICE_TYPE, 'A service type is 1 to 63 of a-z 0-9 . - and starts with a letter.')
  .meta({ example: 'vpn-exit' });

export const ReportedStateField = z
  .enum(REPORTED_STATES)
  .meta({ id: 'ReportedState', description: 'What the agent reports.', example: 'running' });

export const WorkloadHealthField = z
  .enum(WORKLOAD_HEALTH)
  .meta({ id: 'WorkloadHealth', description: 'What its health check says.', example: 'healthy' });

/** What an agent says of one of its workloads; a newer agent may say more. */
export const WorkloadStatusReport = z.object({
  instanceId: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, 'Must be 1 to 128 printable characters.')
    .describe('Made anew at each start of the workload, so that a late report of a past start can be told.')
    .meta({ example: '5f0c1d9e-6a2b-4c7e-9a43-6f6f8f0f9d11' }),
  reportedState: ReportedStateField,
  version: z
    .string()
    .regex(/^[\x21-\x7e]{1,64}$/, 'Must be 1 to 64 printable characters.')
    .optional()
    .meta({ example: '1.4.2' }),
  health: WorkloadHealthField.optional(),
  message: z
    .string()
    .max(MAX_MESSAGE)
    .optional()
    .describe('Of which the first 1,000 characters are kept. It is news whenever it changes.')
    .meta({ example: 'Listening on port 7000.' }),
});

export const WorkloadReport = WorkloadStatusReport.extend({ serviceType: ServiceType });
export type WorkloadReport = z.infer<typeof WorkloadReport>;

export const WorkloadReports = z
  .array(WorkloadReport)
  .max(MAX_WORKLOADS)
  .describe(
    'All that the agent supervises: of what was reported before and is missing here, nothing is known any more. Absent: no news of any.',
  )
  .meta({
    example: [
      {
        serviceType: 'vpn-exit',
        instanceId: '5f0c1d9e-6a2b-4c7e-9a43-6f6f8f0f9d11',
        reportedState: 'running',
        health: 'healthy',
      },
    ],
  });

import { z } from 'zod';
import { ActorRef, Id, Instant, Metadata } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { ReportedStateField, ServiceType, WorkloadHealthField } from '../nodes/workload-report.schema.js';
import { OUT_OF_SYNC_REASONS } from './workload-sync.js';

const DesiredState = z.enum(['running', 'stopped']);
const Runtime = z.enum(['native', 'container']);
const WhenControlPlaneLost = z.enum(['keep', 'stop']);
const Version = z
  .string()
  .regex(/^[\x21-\x7e]{1,64}$/, 'Must be 1 to 64 printable characters.')
  .meta({ example: '1.4.2' });
const Config = Metadata.meta({
  description: 'Configuration of the service, up to 16 KiB; checked where its schema is known.',
  example: { port: 7000 },
});

const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,62}$/;
/**
 * In which store a value is kept, where, and which one. Everything else is refused, a value above all: what names no
 * store or no place in it, or has any character that keys, tokens and passwords have.
 */
const SECRET_REFERENCE =
  /^(?!https?:)[a-z][a-z0-9+.-]{0,31}:(\/\/[\w./-]{1,400}|[\w.-]{1,200}(\/[\w.-]{1,200}){1,20})(#[\w.-]{1,100})?$/;
const SecretRefs = z
  .record(
    z.string().regex(SECRET_NAME, 'A secret is named by 1 to 63 of A-Z a-z 0-9 _ . -'),
    z
      .string()
      .max(512)
      .regex(SECRET_REFERENCE, 'Must be a reference, store://path#key, and never the value itself.'),
  )
  .refine((refs) => Object.keys(refs).length <= 32, 'At most 32 secrets.')
  .meta({
    description:
      'Where the agent finds each secret: `store://path#key` or `store:path/key`. Values are never sent here.',
    example: { tls_key: 'vault://edge/relay#tls_key' },
  });

const seconds = (min: number, max: number) => z.int().min(min).max(max);
const timing = {
  intervalSeconds: seconds(1, 3_600).meta({ example: 10 }),
  timeoutSeconds: seconds(1, 600).meta({ example: 3 }),
  failureThreshold: z
    .int()
    .min(1)
    .max(100)
    .describe('Failures in a row until the workload is unhealthy.')
    .meta({ example: 3 }),
};
const Command = z
  .array(z.string().min(1).max(4_096))
  .min(1)
  .max(64)
  .describe('The program with its arguments; no shell reads it.')
  .meta({ example: ['/usr/bin/probe', '--quick'] });
const HttpUrl = z
  .string()
  .max(2_048)
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : null;
    const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
    return isHttp && url.username === '' && url.password === '';
  }, 'Must be an http or https URL without credentials.')
  .meta({ example: 'http://127.0.0.1:7000/healthz' });
const Port = z.int().min(1).max(65_535).meta({ example: 7000 });

const HealthCheck = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('exec'), command: Command, ...timing }),
    z.strictObject({ type: z.literal('http'), url: HttpUrl, ...timing }),
    z.strictObject({ type: z.literal('tcp'), port: Port, ...timing }),
  ])
  .meta({
    id: 'HealthCheck',
    description: '`exec`: the command ends with 0; `http`: any 2xx; `tcp`: the port takes a connection.',
    example: { type: 'tcp', port: 7000, intervalSeconds: 10, timeoutSeconds: 3, failureThreshold: 3 },
  });

const DEFAULT_RESTARTS = {
  mode: 'always',
  initialDelaySeconds: 1,
  maxDelaySeconds: 60,
  resetAfterSeconds: 600,
} as const;
const restarts = {
  mode: z.enum(['always', 'on_failure', 'never']),
  initialDelaySeconds: seconds(0, 3_600).describe('Before the first restart; doubles with each.'),
  maxDelaySeconds: seconds(1, 3_600),
  resetAfterSeconds: seconds(1, 86_400).describe(
    'After running so long it starts with the first delay again.',
  ),
};
const RestartPolicyInput = z
  .strictObject({
    mode: restarts.mode.default(DEFAULT_RESTARTS.mode),
    initialDelaySeconds: restarts.initialDelaySeconds.default(DEFAULT_RESTARTS.initialDelaySeconds),
    maxDelaySeconds: restarts.maxDelaySeconds.default(DEFAULT_RESTARTS.maxDelaySeconds),
    resetAfterSeconds: restarts.resetAfterSeconds.default(DEFAULT_RESTARTS.resetAfterSeconds),
  })
  .refine(({ initialDelaySeconds, maxDelaySeconds }) => initialDelaySeconds <= maxDelaySeconds, {
    path: ['maxDelaySeconds'],
    message: 'Must not be below initialDelaySeconds.',
  });
const RestartPolicy = z.object(restarts).meta({ id: 'RestartPolicy', example: DEFAULT_RESTARTS });

export const PutWorkload = z
  .strictObject({
    desiredState: DesiredState,
    runtime: Runtime,
    version: Version.nullable().optional().describe('Absent: any version will do.'),
    config: Config.optional(),
    secretRefs: SecretRefs.optional(),
    healthCheck: HealthCheck.nullable().optional(),
    restartPolicy: RestartPolicyInput.default({ ...DEFAULT_RESTARTS }),
    whenControlPlaneLost: WhenControlPlaneLost.default('keep').describe(
      'What the agent does with it when its snapshot is over and the service is still away.',
    ),
    privileged: z
      .boolean()
      .default(false)
      .describe('Broad rights on the host, for a container: high-risk, and kept with who put it.'),
  })
  .refine(({ runtime, privileged }) => !privileged || runtime === 'container', {
    path: ['privileged'],
    message: 'Only a container can be privileged; a native workload has the rights of its agent.',
  })
  .meta({ id: 'PutWorkload' });
export type PutWorkload = z.infer<typeof PutWorkload>;

/** As it stands in answers and snapshots: what was allowed once may stand there for long. */
const shown = {
  config: z.record(z.string(), z.json()).meta({ example: { port: 7000 } }),
  secretRefs: z
    .record(z.string(), z.string())
    .describe('References by name, never values.')
    .meta({ example: { tls_key: 'vault://edge/relay#tls_key' } }),
};

/** What a node's snapshot says of a workload. */
export const SnapshotWorkload = z
  .object({
    serviceType: ServiceType,
    desiredState: DesiredState,
    runtime: Runtime,
    version: Version.nullable().describe('null: any.'),
    ...shown,
    healthCheck: HealthCheck.nullable(),
    restartPolicy: RestartPolicy,
    whenControlPlaneLost: WhenControlPlaneLost,
    privileged: z.boolean(),
  })
  .meta({ id: 'SnapshotWorkload' });
export type SnapshotWorkload = z.infer<typeof SnapshotWorkload>;

export const WorkloadView = z
  .object({
    clusterId: Id,
    nodeId: Id,
    nodeName: z.string().meta({ example: 'edge-1' }),
    serviceType: ServiceType,
    desiredState: DesiredState.nullable().describe(
      'null: nobody wants it, and the agent reports it all the same.',
    ),
    runtime: Runtime.nullable(),
    version: Version.nullable().describe('The desired one; null: any will do.'),
    ...shown,
    healthCheck: HealthCheck.nullable(),
    restartPolicy: RestartPolicy.nullable(),
    whenControlPlaneLost: WhenControlPlaneLost.nullable(),
    privileged: z.boolean(),
    privilegedApprovedBy: ActorRef.nullable().describe('Who put it last while it is privileged.'),
    privilegedApprovedAt: Instant.nullable(),
    effective: z.boolean().describe('Whether the node may run it now.'),
    ineffectiveReason: z
      .enum(['membership_revoked', 'membership_disabled', 'role_not_effective'])
      .nullable()
      .meta({ example: null }),
    reportedState: ReportedStateField,
    reportedVersion: Version.nullable(),
    instanceId: z.string().nullable().meta({ example: '5f0c1d9e-6a2b-4c7e-9a43-6f6f8f0f9d11' }),
    health: WorkloadHealthField.nullable(),
    message: z.string().nullable().meta({ example: 'Listening on port 7000.' }),
    reportedAt: Instant.nullable().describe(
      'When the agent last said something else of it; it may have repeated it since.',
    ),
    stateSince: Instant.nullable().describe('Since when the reported state is what it is.'),
    inSync: z
      .boolean()
      .describe(
        'The reported state is the desired one and, where a version is desired, the versions are equal.',
      ),
    outOfSyncReason: z.enum(OUT_OF_SYNC_REASONS).nullable().meta({ example: null }),
    createdAt: Instant,
    updatedAt: Instant.nullable().describe('When what is desired last changed.'),
    updatedBy: ActorRef.nullable(),
  })
  .meta({ id: 'Workload' });
export type WorkloadView = z.infer<typeof WorkloadView>;

export const WorkloadPage = pageOf(WorkloadView).meta({ id: 'WorkloadPage' });

const filters = {
  serviceType: ServiceType.optional().meta({ description: 'Only workloads of this type.' }),
  reportedState: ReportedStateField.optional(),
  inSync: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .meta({ description: 'Only those that are in sync, or only others.', example: 'false' }),
};

export const WorkloadQuery = PageQuery.extend({
  nodeId: Id.optional().meta({ description: 'Only those of this node.' }),
  ...filters,
});
export const NodeWorkloadQuery = PageQuery.extend(filters);

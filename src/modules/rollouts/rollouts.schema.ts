import { z } from 'zod';
import { ActorRef, Id, Instant, KeptInstantInput, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { NodeSelector } from '../nodes/node-selector.js';
import { ASSIGNMENT_STATES } from './engine/assignment-state.js';
import { isTimeZone, WEEKDAYS } from './engine/maintenance-window.js';
import { NODE_UPDATE_STATES } from './engine/node-update.js';
import { ROLLOUT_STATES } from './engine/rollout-state.js';
import { graphFaults, withDependencies } from './engine/wave-graph.js';
import { WAVE_STATES } from './engine/wave-state.js';

const WaveName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/,
    'Must be 1 to 63 of a-z 0-9 _ - and begin and end with one of a-z 0-9.',
  )
  .meta({ example: 'canary' });
const seconds = (min: number, max: number) => z.int().min(min).max(max);
const percent = () => z.number().min(0).max(100);
const ClockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'Must be a time such as 22:30.');

const WaveInput = z
  .strictObject({
    name: WaveName,
    percent: z
      .number()
      .gt(0)
      .max(100)
      .optional()
      .describe('Of all nodes that can be updated, rounded up, as far as earlier waves leave any.')
      .meta({ example: 10 }),
    count: z.int().min(1).max(1_000_000).optional().describe('So many nodes.').meta({ example: 5 }),
    selector: NodeSelector.optional().describe('Exactly these, as far as earlier waves leave them.'),
    soakSeconds: seconds(0, 2_592_000).default(0).describe('How long it must stay well after its last node.'),
    dependsOn: z
      .array(WaveName)
      .max(64)
      .optional()
      .describe('Waves that must be done first; absent: the one before it, empty: none.')
      .meta({ example: [] }),
    requiresApproval: z.boolean().default(false).describe('It waits for a person.'),
  })
  .superRefine(({ percent: share, count, selector }, context) => {
    const said = [share, count, selector].filter((each) => each !== undefined).length;
    if (said !== 1)
      context.addIssue({ code: 'custom', message: 'One of percent, count and selector says who is in it.' });
  })
  .meta({ id: 'RolloutWaveInput', example: { name: 'canary', percent: 10, soakSeconds: 600 } });

const Window = z
  .strictObject({
    timeZone: z
      .string()
      .max(64)
      .refine(isTimeZone, 'Must be the IANA name of a time zone.')
      .meta({ example: 'Europe/Moscow' }),
    days: z
      .array(z.enum(WEEKDAYS))
      .min(1)
      .max(7)
      .optional()
      .describe('Days on which it opens; absent: each.'),
    from: ClockTime.describe(
      'By the clock on the wall: what lies in an hour that it leaves out does not open on that day, what lies in one that comes twice opens twice.',
    ).meta({ example: '22:00' }),
    to: ClockTime.describe('Exclusive; not later than `from`: on the next day.').meta({ example: '04:00' }),
  })
  .meta({ id: 'MaintenanceWindow' });

const StrategyInput = z
  .strictObject({
    waves: z.array(WaveInput).min(1).max(64),
    maxUnavailable: z
      .int()
      .min(1)
      .max(100_000)
      .describe('Nodes that may be out of service at a time.')
      .meta({ example: 2 }),
    successThresholdPercent: percent()
      .describe('A wave needs so many successes, rounded up.')
      .meta({ example: 95 }),
    failureThresholdPercent: percent()
      .describe('A wave may have so many failures, rounded down.')
      .meta({ example: 5 }),
    minEvidence: z.int().min(1).max(100_000).default(1).describe('A wave needs at least so many successes.'),
    progressDeadlineSeconds: seconds(10, 2_592_000)
      .describe('It pauses when nothing has moved for so long.')
      .meta({ example: 3_600 }),
    nodeDeadlineSeconds: seconds(10, 2_592_000)
      .optional()
      .describe('A node that is out of service and silent for so long is lost; absent: the deadline above.')
      .meta({ example: 900 }),
    maintenanceWindows: z
      .array(Window)
      .max(32)
      .default([])
      .describe('Nodes go out of service only then; none: at any time.'),
    startAt: KeptInstantInput.optional().describe('It starts by itself then, where it may.'),
    autoRollback: z.boolean().describe('Too many failures take it back; otherwise they pause it.'),
    retryBudget: z
      .int()
      .min(0)
      .max(10)
      .default(0)
      .describe(
        'How often a node that failed to prepare may try again before it counts as failed; never with bytes that were not what was signed.',
      ),
  })
  .superRefine(({ waves }, context) => {
    for (const { wave, message } of graphFaults(withDependencies(waves)))
      context.addIssue({ code: 'custom', path: ['waves', wave], message });
  })
  .meta({ id: 'RolloutStrategyInput' });

export const CreateRollout = z
  .strictObject({
    product: z.string().min(1).max(63).meta({ example: 'rap-node-agent' }),
    targetVersion: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .describe('Either this or `channel`.')
      .meta({ example: '2.0.0' }),
    channel: z
      .enum(['stable', 'current', 'candidate'])
      .optional()
      .describe('The version to which it points now.')
      .meta({ example: undefined }),
    selector: NodeSelector.default({}).describe('Which nodes; absent: all of the cluster.'),
    strategy: StrategyInput,
  })
  .superRefine(({ targetVersion, channel }, context) => {
    if ((targetVersion === undefined) === (channel === undefined))
      context.addIssue({ code: 'custom', message: 'Name either targetVersion or channel.' });
  })
  .meta({ id: 'CreateRollout' });
export type CreateRollout = z.infer<typeof CreateRollout>;

const Wave = z
  .object({
    name: z.string().meta({ example: 'canary' }),
    state: z.enum(WAVE_STATES),
    dependsOn: z.array(z.string()).meta({ example: [] }),
    requiresApproval: z.boolean(),
    approvedAt: Instant.nullable(),
    soakSeconds: z.int(),
    plannedMembers: z.int().meta({ example: 2 }),
    counts: z
      .partialRecord(z.enum(ASSIGNMENT_STATES), z.int())
      .describe('Its nodes by state.')
      .meta({ example: { ok: 1, health: 1 } }),
  })
  .meta({ id: 'RolloutWave' });

const Strategy = z.object({
  waves: z.array(
    z.object({
      name: z.string(),
      percent: z.number().optional(),
      count: z.int().optional(),
      selector: z.json().optional(),
      soakSeconds: z.int(),
      dependsOn: z.array(z.string()),
      requiresApproval: z.boolean(),
    }),
  ),
  maxUnavailable: z.int(),
  successThresholdPercent: z.number(),
  failureThresholdPercent: z.number(),
  minEvidence: z.int(),
  progressDeadlineSeconds: z.int(),
  nodeDeadlineSeconds: z.int(),
  maintenanceWindows: z.array(
    z.object({
      timeZone: z.string(),
      days: z.array(z.string()).optional(),
      from: z.string(),
      to: z.string(),
    }),
  ),
  startAt: Instant.nullable(),
  autoRollback: z.boolean(),
  retryBudget: z.int(),
});

export const RolloutView = z
  .object({
    id: Id,
    clusterId: Id,
    product: z.string().meta({ example: 'rap-node-agent' }),
    targetVersion: z.string().meta({ example: '2.0.0' }),
    kind: z
      .enum(['staged', 'pin', 'emergency'])
      .describe(
        '`pin`: it brings one node to the version that it is pinned to, beside any other rollout; `emergency`: the nodes of an emergency pin.',
      )
      .meta({ example: 'staged' }),
    state: z.enum(ROLLOUT_STATES),
    stateReason: z.string().nullable().meta({ example: null }),
    pausedByDecisionId: Id.nullable().describe('What `resume` acknowledges.').meta({ example: null }),
    planHash: z.string().describe('What approvals are for, and what runs.'),
    downgradePossible: z.boolean().describe('Every migration on the way can be undone.'),
    selector: z.json().meta({ example: {} }),
    strategy: Strategy,
    waves: z.array(Wave),
    updateStates: z
      .partialRecord(z.enum(NODE_UPDATE_STATES), z.int())
      .describe('Its nodes by what they report of their update.')
      .meta({ example: { running: 1, idle: 3 } }),
    approvals: z.array(z.object({ approver: ActorRef, approvedAt: Instant })),
    createdBy: ActorRef,
    createdAt: Instant,
    updatedAt: Instant,
    startedAt: Instant.nullable(),
    finishedAt: Instant.nullable(),
  })
  .meta({ id: 'Rollout' });
export type RolloutView = z.infer<typeof RolloutView>;
export const RolloutPage = pageOf(RolloutView).meta({ id: 'RolloutPage' });
export const RolloutQuery = PageQuery.extend({
  state: z.enum(ROLLOUT_STATES).optional().describe('Only rollouts in this state.'),
  product: z
    .string()
    .max(63)
    .optional()
    .meta({ description: 'Only of this product.', example: 'rap-node-agent' }),
});

export const RolloutPlanView = z
  .object({
    product: z.string().meta({ example: 'rap-node-agent' }),
    targetVersion: z.string().meta({ example: '2.0.0' }),
    planHash: z.string(),
    downgradePossible: z.boolean(),
    waves: z.array(
      z.object({
        name: z.string().meta({ example: 'canary' }),
        nodes: z.array(
          z.object({
            nodeId: Id,
            platform: z.string().meta({ example: 'linux/x64' }),
            fromVersion: z.string().nullable().meta({ example: '1.0.0' }),
            nextVersion: z.string().describe('The first stop on its way.').meta({ example: '2.0.0' }),
          }),
        ),
      }),
    ),
    skipped: z.array(z.object({ nodeId: Id, reason: z.string().meta({ example: 'already_on_target' }) })),
    untriedPlatforms: z
      .array(z.string())
      .describe('Platforms of which the first wave has no node.')
      .meta({ example: [] }),
  })
  .meta({ id: 'RolloutPlan' });
export type RolloutPlanView = z.infer<typeof RolloutPlanView>;

export const ResumeRollout = z
  .strictObject({
    acknowledge: Id.optional().describe('The decision that paused it, where its cause is still there.'),
  })
  .meta({ id: 'ResumeRollout' });
export const DecideOnNode = z.strictObject({ reason: Reason }).meta({ id: 'DecideOnNode' });

export const RolloutNodeView = z
  .object({
    assignmentId: Id,
    nodeId: Id,
    wave: z.string().nullable().meta({ example: 'canary' }),
    direction: z.enum(['forward', 'back']),
    state: z.enum(ASSIGNMENT_STATES),
    stateReason: z.string().nullable().meta({ example: null }),
    updateState: z.enum(NODE_UPDATE_STATES),
    fromVersion: z.string().nullable().meta({ example: '1.0.0' }),
    toVersion: z.string().meta({ example: '2.0.0' }),
    epoch: z.int(),
    attempt: z.int(),
    retriesLeft: z.int().describe('How often it may fail to prepare and try again.'),
    message: z.string().nullable().meta({ example: null }),
    isWrittenOff: z.boolean(),
    stateChangedAt: Instant,
    reportedAt: Instant.nullable(),
  })
  .meta({ id: 'RolloutNode' });
export type RolloutNodeView = z.infer<typeof RolloutNodeView>;
export const RolloutNodePage = pageOf(RolloutNodeView).meta({ id: 'RolloutNodePage' });
export const RolloutNodeQuery = PageQuery.extend({
  state: z.enum(ASSIGNMENT_STATES).optional().describe('Only nodes in this state.'),
});

export const RolloutDecisionView = z
  .object({
    id: Id,
    decidedAt: Instant,
    decidedBy: ActorRef,
    rule: z.string().meta({ example: 'error_threshold' }),
    wave: z.string().nullable().meta({ example: 'canary' }),
    fromState: z.string().meta({ example: 'running' }),
    toState: z.string().meta({ example: 'paused' }),
    reason: z.string().nullable().meta({ example: 'error_threshold' }),
    inputs: z.json().describe('The numbers and thresholds on which it rests.').meta({ example: {} }),
  })
  .meta({ id: 'RolloutDecision' });
export type RolloutDecisionView = z.infer<typeof RolloutDecisionView>;
export const RolloutDecisionPage = pageOf(RolloutDecisionView).meta({ id: 'RolloutDecisionPage' });

export const ReportUpdate = z
  .object({
    state: z.enum(NODE_UPDATE_STATES),
    attempt: z.int().min(1).max(1_000_000).meta({ example: 1 }),
    epoch: z.int().min(1).meta({ example: 1 }),
    sequence: z.int().min(1).meta({ example: 4 }),
    version: z.string().max(128).optional().describe('What it runs now.').meta({ example: '2.0.0' }),
    message: z.string().max(500).optional().meta({ example: 'health check answered 200' }),
  })
  .meta({ id: 'ReportUpdate' });
export type ReportUpdate = z.infer<typeof ReportUpdate>;

export const UpdateStateView = z
  .object({
    assignmentId: Id,
    state: z.enum(NODE_UPDATE_STATES),
    attempt: z.int(),
    epoch: z.int(),
    sequence: z.int(),
    phase: z
      .enum(['offered', 'granted'])
      .nullable()
      .describe('What it may do now; null: nothing more is asked.'),
  })
  .meta({ id: 'UpdateState' });
export type UpdateStateView = z.infer<typeof UpdateStateView>;

import { Body, Controller, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { NodeDecisionsService } from './node-decisions.service.js';
import { RolloutDecisionsService } from './rollout-decisions.service.js';
import { DecideOnNode, ResumeRollout, RolloutView } from './rollouts.schema.js';

const ANSWER = { response: RolloutView, etag: contentEtag } as const;
const RUN = { ...ANSWER, access: { permission: 'rollouts.run' } } as const;

@ApiTags('Rollouts')
@Controller('api/v1/clusters/:cluster/rollouts/:rollout')
export class RolloutDecisionsController {
  constructor(
    private readonly decisions: RolloutDecisionsService,
    private readonly nodes: NodeDecisionsService,
  ) {}

  @Post('submit')
  @Route({
    ...ANSWER,
    id: 'submitRollout',
    summary: 'Ask for the approvals that the policy of the cluster wants',
    access: { permission: 'rollouts.create' },
    problems: ['cluster_archived', 'rollout_state_conflict', 'rollout_in_progress'],
  })
  submit(@CurrentActor() actor: Actor, @ClusterId() clusterId: string, @PathId('rollout') id: string) {
    return this.decisions.submit(actor, clusterId, id);
  }

  @Post('approve')
  @Route({
    ...ANSWER,
    id: 'approveRollout',
    summary: 'Approve the plan of a rollout',
    description:
      'Distinct people, none of them the author; what is approved is the plan with its `planHash`.',
    access: { permission: 'rollouts.approve' },
    problems: ['cluster_archived', 'rollout_state_conflict', 'author_may_not_approve'],
  })
  approve(@CurrentActor() actor: Actor, @ClusterId() clusterId: string, @PathId('rollout') id: string) {
    return this.decisions.approve(actor, clusterId, id);
  }

  @Post('start')
  @Route({
    ...RUN,
    id: 'startRollout',
    summary: 'Start a rollout',
    problems: [
      'cluster_archived',
      'rollout_state_conflict',
      'rollout_in_progress',
      'release_blocked',
      'release_not_approved',
    ],
  })
  start(@CurrentActor() actor: Actor, @ClusterId() clusterId: string, @PathId('rollout') id: string) {
    return this.decisions.start(actor, clusterId, id);
  }

  @Post('pause')
  @Route({
    ...RUN,
    id: 'pauseRollout',
    summary: 'Offer and grant nothing more; nodes that are out of service finish',
    problems: ['cluster_archived', 'rollout_state_conflict'],
  })
  pause(@CurrentActor() actor: Actor, @ClusterId() clusterId: string, @PathId('rollout') id: string) {
    return this.decisions.pause(actor, clusterId, id);
  }

  @Post('resume')
  @Route({
    ...RUN,
    id: 'resumeRollout',
    summary: 'Let a paused rollout go on',
    description:
      'Where the cause of the pause is still there, `acknowledge` names the decision that paused it (`pausedByDecisionId`). What is taken on is what there is now: one failure more pauses it again.',
    body: ResumeRollout,
    bodyOptional: true,
    problems: ['cluster_archived', 'rollout_state_conflict', 'acknowledgement_required', 'release_blocked'],
  })
  resume(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @Body() body: z.infer<typeof ResumeRollout>,
  ) {
    return this.decisions.resume(actor, clusterId, id, body.acknowledge ?? null);
  }

  @Post('rollback')
  @Route({
    ...RUN,
    id: 'rollBackRollout',
    summary: 'Take each node back to the version that it had',
    problems: ['cluster_archived', 'rollout_state_conflict', 'rollout_in_progress', 'downgrade_not_possible'],
  })
  rollback(@CurrentActor() actor: Actor, @ClusterId() clusterId: string, @PathId('rollout') id: string) {
    return this.decisions.rollback(actor, clusterId, id);
  }

  @Post('cancel')
  @Route({
    ...RUN,
    id: 'cancelRollout',
    summary: 'End a rollout where it is; nodes that are out of service finish',
    problems: ['cluster_archived', 'rollout_state_conflict'],
  })
  cancel(@CurrentActor() actor: Actor, @ClusterId() clusterId: string, @PathId('rollout') id: string) {
    return this.decisions.cancel(actor, clusterId, id);
  }

  @Post('waves/:wave/approve')
  @Route({
    ...ANSWER,
    id: 'approveRolloutWave',
    summary: 'Let a wave begin that waits for a person',
    access: { permission: 'rollouts.approve' },
    problems: ['cluster_archived', 'rollout_state_conflict'],
  })
  approveWave(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @Param('wave') wave: string,
  ) {
    return this.decisions.approveWave(actor, clusterId, id, wave);
  }

  @Post('nodes/:node/write-off')
  @Route({
    ...RUN,
    id: 'writeOffRolloutNode',
    summary: 'Give up on a lost node, so that its place is free; what it reports later is refused',
    body: DecideOnNode,
    problems: ['cluster_archived', 'node_not_lost'],
  })
  writeOff(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @PathId('node') nodeId: string,
    @Body() { reason }: z.infer<typeof DecideOnNode>,
  ) {
    return this.nodes.writeOff(actor, clusterId, id, nodeId, reason);
  }

  @Post('nodes/:node/unfence')
  @Route({
    ...RUN,
    id: 'unfenceRolloutNode',
    summary: 'Take a node that has been brought in order out of its fence',
    body: DecideOnNode,
    problems: ['cluster_archived', 'node_not_fenced'],
  })
  unfence(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @PathId('node') nodeId: string,
    @Body() { reason }: z.infer<typeof DecideOnNode>,
  ) {
    return this.nodes.unfence(actor, clusterId, id, nodeId, reason);
  }
}

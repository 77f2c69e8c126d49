import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { DecisionsRepository } from './decisions.repository.js';
import { noSuchRollout, type Rollout, rolloutCreated } from './rollout.js';
import { RolloutDrafts } from './rollout-drafts.js';
import { RolloutPlanner } from './rollout-planner.js';
import { decisionView, nodeView, RolloutViews } from './rollout-views.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type {
  CreateRollout,
  RolloutDecisionView,
  RolloutNodeQuery,
  RolloutNodeView,
  RolloutPlanView,
  RolloutQuery,
  RolloutView,
} from './rollouts.schema.js';

/** Plans rollouts, writes them down, and tells how they fare. */
@Injectable()
export class RolloutsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly planner: RolloutPlanner,
    private readonly drafts: RolloutDrafts,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly decisions: DecisionsRepository,
    private readonly views: RolloutViews,
    private readonly paging: Paging,
  ) {}

  /** What a rollout would be if it were made now. @throws invalid */
  plan(clusterId: string, input: CreateRollout): Promise<RolloutPlanView> {
    return this.transactor.read(async (tx) => {
      const { product, release, plan, planHash, downgradePossible } = await this.planner.prepare(
        tx,
        clusterId,
        input,
      );
      return { product: product.name, targetVersion: release.version, planHash, downgradePossible, ...plan };
    });
  }

  /** Writes down a draft with the nodes that it is for, as they are now. @throws invalid */
  create(actor: Actor, clusterId: string, input: CreateRollout): Promise<RolloutView> {
    return this.transactor.mutateDirect(actor, async (tx) => {
      const prepared = await this.planner.prepare(tx, clusterId, input);
      const id = await this.drafts.write(tx, actor, clusterId, prepared, 'staged');
      const rollout = await this.get(tx, clusterId, id);
      return { result: await this.view(tx, rollout), events: [rolloutCreated(rollout)] };
    });
  }

  /** @throws not_found */
  read(clusterId: string, id: string): Promise<RolloutView> {
    return this.transactor.read(async (tx) => this.view(tx, await this.get(tx, clusterId, id)));
  }

  /** Newest first. */
  list(clusterId: string, query: z.infer<typeof RolloutQuery>): Promise<Page<RolloutView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'rollouts', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.rollouts.list(tx, clusterId, filter, this.paging.after(list), limit);
      const views = new Map((await this.views.of(tx, rows)).map((view) => [view.id, view]));
      const key = ({ createdAt, id }: Rollout) => [createdAt.toISOString(), id];
      return this.paging.page(list, rows, key, ({ id }) => views.get(id) as RolloutView);
    });
  }

  /** By node id. @throws not_found */
  nodes(
    clusterId: string,
    id: string,
    query: z.infer<typeof RolloutNodeQuery>,
  ): Promise<Page<RolloutNodeView>> {
    const { limit, cursor, state } = query;
    const list = { kind: 'rollout_nodes', filters: { id, state }, limit, cursor };
    return this.transactor.read(async (tx) => {
      await this.get(tx, clusterId, id);
      const rows = await this.assignments.list(tx, id, state, this.paging.after(list), limit);
      return this.paging.page(list, rows, ({ nodeId, direction }) => [nodeId, direction], nodeView);
    });
  }

  /** Newest first. @throws not_found */
  listDecisions(
    clusterId: string,
    id: string,
    { limit, cursor }: { limit: number; cursor?: string | undefined },
  ): Promise<Page<RolloutDecisionView>> {
    const list = { kind: 'rollout_decisions', filters: { id }, limit, cursor };
    return this.transactor.read(async (tx) => {
      await this.get(tx, clusterId, id);
      const rows = await this.decisions.list(tx, id, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.decidedAt.toISOString(), row.id], decisionView);
    });
  }

  private async get(tx: ReadTx, clusterId: string, id: string): Promise<Rollout> {
    const rollout = await this.rollouts.find(tx, clusterId, id);
    if (rollout === null) throw noSuchRollout();
    return rollout;
  }

  private async view(tx: ReadTx, rollout: Rollout): Promise<RolloutView> {
    const [view] = await this.views.of(tx, [rollout]);
    return view as RolloutView;
  }
}

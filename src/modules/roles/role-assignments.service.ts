import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvents } from '../../common/audit/audit-event.js';
import { conflict, notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { insistence } from '../nodes/membership.js';
import { MembershipsService, type Taking } from '../nodes/memberships.service.js';
import {
  type RoleAssignment,
  roleAssignmentCreated,
  roleAssignmentDeleted,
  roleAssignmentDisabled,
  roleAssignmentEnabled,
} from './role-assignment.js';
import { RoleAssignmentViews, roleAssignmentEtag } from './role-assignment-views.js';
import { RoleAssignmentsRepository } from './role-assignments.repository.js';
import type {
  CreateRoleAssignment,
  RoleAssignmentQuery,
  RoleAssignmentView,
  RoleExplanation,
} from './role-assignments.schema.js';
import { RoleBearers } from './role-bearers.js';
import { roleConditions } from './role-conditions.js';
import { rolesChanged } from './role-events.js';
import { RoleMinimums } from './role-minimums.js';
import { incapacity, newAssignment, type RequestedTerms, requireFuture, roleTerms } from './role-terms.js';

@Injectable()
export class RoleAssignmentsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly assignments: RoleAssignmentsRepository,
    private readonly memberships: MembershipsService,
    private readonly bearers: RoleBearers,
    private readonly minimums: RoleMinimums,
    private readonly views: RoleAssignmentViews,
    private readonly paging: Paging,
  ) {}

  /** Gives a member a role. @throws what {@link assignInTx} throws */
  create(
    actor: Actor,
    clusterId: string,
    input: z.infer<typeof CreateRoleAssignment>,
  ): Promise<RoleAssignmentView> {
    return this.transactor.mutate(actor, async (tx) => {
      const { assignment, events } = await this.assignInTx(tx, { clusterId, ...input });
      return { result: await this.views.one(tx, assignment), events };
    });
  }

  /**
   * Gives a member a role in the caller's transaction.
   * @throws invalid `node_not_member`, `invalid_request` when it would be over already; conflict `capability_missing`,
   * `role_already_assigned` (with `assignmentId`)
   */
  async assignInTx(
    tx: Tx,
    { clusterId, nodeId, ...requested }: RequestedTerms & { clusterId: string; nodeId: string },
  ): Promise<{ assignment: RoleAssignment; events: AuditEvents }> {
    const terms = roleTerms(requested);
    const { role } = terms;
    const { capabilities } = await this.memberships.requireMember(tx, clusterId, nodeId);
    requireFuture(terms, tx.now);
    const deniedCapabilities = await this.bearers.deniedCapabilities(tx, clusterId);
    const why = incapacity(role, { capabilities, deniedCapabilities });
    if (why !== null) {
      const { missing, denied, detail } = why;
      throw conflict('capability_missing', `The role ${role} cannot be given. ${detail}`, {
        extensions: { missing, denied },
      });
    }
    // The membership is locked, so that nobody else gives the node a role meanwhile.
    const present = (await this.assignments.inScope(tx, clusterId, terms, [nodeId])).get(nodeId);
    if (present !== undefined) {
      throw conflict('role_already_assigned', `The node has the role ${role} in this scope already.`, {
        extensions: { assignmentId: present },
      });
    }
    const assignment = newAssignment(tx, clusterId, nodeId, terms);
    await this.assignments.insertAll(tx, [assignment]);
    await rolesChanged(tx, clusterId, [nodeId]);
    return { assignment, events: [roleAssignmentCreated(assignment)] };
  }

  /** @throws not_found */
  get(clusterId: string, id: string): Promise<RoleAssignmentView> {
    return this.transactor.read(async (tx) => this.views.one(tx, await this.find(tx, clusterId, id)));
  }

  /** Rule by rule, why the assignment is effective, or why not. @throws not_found */
  explain(clusterId: string, id: string): Promise<RoleExplanation> {
    return this.transactor.read(async (tx) => {
      const assignment = await this.find(tx, clusterId, id);
      const circumstances = await this.views.circumstances(tx, clusterId, [assignment]);
      const conditions = roleConditions(assignment, circumstances(assignment), tx.now);
      const { nodeId, role } = assignment;
      return {
        assignmentId: id,
        nodeId,
        role,
        effective: conditions.every(({ holds }) => holds),
        conditions,
      };
    });
  }

  /** Newest first. */
  list(clusterId: string, query: z.infer<typeof RoleAssignmentQuery>): Promise<Page<RoleAssignmentView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'role_assignments', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.assignments.list(tx, clusterId, filter, this.paging.after(list), limit);
      const view = await this.views.of(tx, clusterId, rows);
      return this.paging.page(list, rows, (row) => [row.assignedAt.toISOString(), row.id], view);
    });
  }

  /** Again changes nothing. @throws not_found; conflict `role_minimum_violated` */
  disable(
    actor: Actor,
    clusterId: string,
    id: string,
    { reason, force }: Taking,
  ): Promise<RoleAssignmentView> {
    return this.transactor.mutate(actor, async (tx) => {
      const assignment = await this.lock(tx, clusterId, id);
      if (assignment.status === 'disabled')
        return { result: await this.views.one(tx, assignment), unchanged: true };
      const below = await this.minimums.watch(tx, clusterId, assignment.nodeId, force, () =>
        this.assignments.setStatus(tx, id, 'disabled'),
      );
      await rolesChanged(tx, clusterId, [assignment.nodeId]);
      const result = await this.views.one(tx, { ...assignment, status: 'disabled' });
      return { result, events: [roleAssignmentDisabled(assignment, reason, insistence(force, below))] };
    });
  }

  /** Again changes nothing. @throws not_found */
  enable(actor: Actor, clusterId: string, id: string): Promise<RoleAssignmentView> {
    return this.transactor.mutate(actor, async (tx) => {
      const assignment = await this.lock(tx, clusterId, id);
      if (assignment.status === 'active')
        return { result: await this.views.one(tx, assignment), unchanged: true };
      await this.assignments.setStatus(tx, id, 'active');
      await rolesChanged(tx, clusterId, [assignment.nodeId]);
      const result = await this.views.one(tx, { ...assignment, status: 'active' });
      return { result, events: [roleAssignmentEnabled(assignment)] };
    });
  }

  /** Takes the role away. @throws not_found; stale; conflict `role_minimum_violated` */
  delete(actor: Actor, clusterId: string, id: string, { reason, force }: Taking): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      const assignment = await this.lock(tx, clusterId, id);
      await tx.requireMatchOf(async () => roleAssignmentEtag(await this.views.one(tx, assignment)));
      const below = await this.minimums.watch(tx, clusterId, assignment.nodeId, force, () =>
        this.assignments.delete(tx, id),
      );
      await rolesChanged(tx, clusterId, [assignment.nodeId]);
      const event = roleAssignmentDeleted(assignment, reason, insistence(force, below));
      return { result: undefined, events: [event] };
    });
  }

  private async find(tx: ReadTx, clusterId: string, id: string): Promise<RoleAssignment> {
    const assignment = await this.assignments.find(tx, clusterId, id);
    if (assignment === null) throw noSuchAssignment();
    return assignment;
  }

  /** Locks the assignment, and before it the membership: the order of all who change both. */
  private async lock(tx: Tx, clusterId: string, id: string): Promise<RoleAssignment> {
    const { nodeId } = await this.find(tx, clusterId, id);
    await this.memberships.hold(tx, clusterId, [nodeId], 'to_change');
    const assignment = await this.assignments.lock(tx, clusterId, id);
    if (assignment === null) throw noSuchAssignment();
    return assignment;
  }
}

function noSuchAssignment() {
  return notFound('not_found', 'There is no such role assignment in this cluster.');
}

import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvents } from '../../common/audit/audit-event.js';
import { conflict, invalid, notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { insistence } from '../nodes/membership.js';
import { MembershipsService, type Taking } from '../nodes/memberships.service.js';
import {
  type RoleAssignment,
  type RoleBearer,
  roleAssignmentCreated,
  roleAssignmentDeleted,
  roleAssignmentDisabled,
  roleAssignmentEnabled,
  unmetCapabilities,
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
import { ROLE_CATALOGUE, type RoleName } from './role-catalogue.js';
import { roleConditions } from './role-conditions.js';
import { rolesChanged } from './role-events.js';
import { RoleMinimums } from './role-minimums.js';

/** A role to give to a member. */
export interface NewRoleAssignment {
  clusterId: string;
  nodeId: string;
  role: RoleName;
  organizationId?: string | null;
  policy?: Record<string, unknown>;
  validFrom?: Date | null;
  validUntil?: Date | null;
}

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
    const { validFrom, validUntil, ...rest } = input;
    const wanted = { ...rest, clusterId, validFrom: instant(validFrom), validUntil: instant(validUntil) };
    return this.transactor.mutate(actor, async (tx) => {
      const { assignment, events } = await this.assignInTx(tx, wanted);
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
    wanted: NewRoleAssignment,
  ): Promise<{ assignment: RoleAssignment; events: AuditEvents }> {
    const {
      clusterId,
      nodeId,
      role,
      organizationId = null,
      policy = {},
      validFrom = null,
      validUntil = null,
    } = wanted;
    const member = await this.memberships.requireMember(tx, clusterId, nodeId);
    if (validUntil !== null && validUntil <= tx.now) {
      const errors = [{ pointer: '#/validUntil', message: 'Must be in the future.' }];
      throw invalid('invalid_request', 'The assignment would be over before it begins.', { errors });
    }
    const deniedCapabilities = await this.bearers.deniedCapabilities(tx, clusterId);
    requireCapabilities(role, { capabilities: member.capabilities, deniedCapabilities });
    const assignment = await this.assignments.insert(tx, {
      id: tx.newId(),
      clusterId,
      nodeId,
      role,
      organizationId,
      status: 'active',
      policy,
      validFrom,
      validUntil,
      assignedAt: tx.now,
      assignedBy: { type: tx.actor.type, id: tx.actor.id ?? tx.actor.type },
    });
    if (assignment === null) {
      // A statement of its own: the insert may have waited for the one that won.
      const present = await this.assignments.findInScope(tx, { clusterId, nodeId, role, organizationId });
      throw conflict('role_already_assigned', `The node has the role ${role} in this scope already.`, {
        extensions: { assignmentId: present?.id ?? null },
      });
    }
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
      tx.requireMatch(roleAssignmentEtag(await this.views.one(tx, assignment)));
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

function requireCapabilities(
  role: RoleName,
  node: Pick<RoleBearer, 'capabilities' | 'deniedCapabilities'>,
): void {
  const { missing, denied } = unmetCapabilities(ROLE_CATALOGUE[role].requiredCapabilities, node);
  if (missing.length === 0 && denied.length === 0) return;
  const why =
    missing.length > 0
      ? `the node does not report ${missing.join(', ')}`
      : `the cluster's policy denies ${denied.join(', ')}`;
  throw conflict('capability_missing', `The role ${role} cannot be given: ${why}.`, {
    extensions: { missing, denied },
  });
}

function instant(text: string | null | undefined): Date | null {
  return text == null ? null : new Date(text);
}

function noSuchAssignment() {
  return notFound('not_found', 'There is no such role assignment in this cluster.');
}

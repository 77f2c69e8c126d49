import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvents } from '../../common/audit/audit-event.js';
import { conflict, invalid, notFound } from '../../common/errors/domain-error.js';
import { twoPartEtag } from '../../common/http/etag.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import {
  ineffectiveReason,
  type RoleAssignment,
  type RoleAssignmentStatus,
  type RoleBearer,
  roleAssignmentCreated,
  roleAssignmentDeleted,
  roleAssignmentSwitched,
  unmetCapabilities,
} from './role-assignment.js';
import { RoleAssignmentsRepository } from './role-assignments.repository.js';
import type {
  CreateRoleAssignment,
  RoleAssignmentQuery,
  RoleAssignmentView,
} from './role-assignments.schema.js';
import { ROLE_CATALOGUE, type RoleName } from './role-catalogue.js';
import { RolesChanged } from './role-events.js';
import { roleGrant } from './roles.read-model.js';

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
    private readonly members: MembershipsReadModel,
    private readonly policies: PolicyReadModel,
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
      return { result: await this.show(tx, assignment), events };
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
    const deniedCapabilities = await this.deniedCapabilities(tx, clusterId);
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
    await changed(tx, assignment);
    return { assignment, events: [roleAssignmentCreated(assignment)] };
  }

  /** @throws not_found */
  get(clusterId: string, id: string): Promise<RoleAssignmentView> {
    return this.transactor.read(async (tx) => {
      const assignment = await this.assignments.find(tx, clusterId, id);
      if (assignment === null) throw noSuchAssignment();
      return this.show(tx, assignment);
    });
  }

  /** Newest first. */
  list(clusterId: string, query: z.infer<typeof RoleAssignmentQuery>): Promise<Page<RoleAssignmentView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'role_assignments', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.assignments.list(tx, clusterId, filter, this.paging.after(list), limit);
      const bearers = await this.bearers(tx, clusterId, rows);
      const keyOf = (row: RoleAssignment) => [row.assignedAt.toISOString(), row.id];
      return this.paging.page(list, rows, keyOf, (row) => view(row, bearers(row.nodeId), tx.now));
    });
  }

  /** Disables or enables; again changes nothing. @throws not_found */
  switch(actor: Actor, clusterId: string, id: string, to: RoleAssignmentStatus): Promise<RoleAssignmentView> {
    return this.transactor.mutate(actor, async (tx) => {
      const assignment = await this.lock(tx, clusterId, id);
      if (assignment.status === to) return { result: await this.show(tx, assignment), unchanged: true };
      await this.assignments.setStatus(tx, id, to);
      await changed(tx, assignment);
      const result = await this.show(tx, { ...assignment, status: to });
      return { result, events: [roleAssignmentSwitched(assignment, to)] };
    });
  }

  /** Takes the role away. @throws not_found; stale */
  delete(actor: Actor, clusterId: string, id: string): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      const assignment = await this.lock(tx, clusterId, id);
      tx.requireMatch(roleAssignmentEtag(await this.show(tx, assignment)));
      await this.assignments.delete(tx, id);
      await changed(tx, assignment);
      return { result: undefined, events: [roleAssignmentDeleted(assignment)] };
    });
  }

  private async lock(tx: Tx, clusterId: string, id: string): Promise<RoleAssignment> {
    const assignment = await this.assignments.lock(tx, clusterId, id);
    if (assignment === null) throw noSuchAssignment();
    return assignment;
  }

  private async show(tx: ReadTx, assignment: RoleAssignment): Promise<RoleAssignmentView> {
    const bearers = await this.bearers(tx, assignment.clusterId, [assignment]);
    return view(assignment, bearers(assignment.nodeId), tx.now);
  }

  /** What decides over the roles of the nodes in `assignments`. A node that is no member any more was revoked. */
  private async bearers(
    tx: ReadTx,
    clusterId: string,
    assignments: readonly RoleAssignment[],
  ): Promise<(nodeId: string) => RoleBearer> {
    const nodeIds = [...new Set(assignments.map((assignment) => assignment.nodeId))];
    const deniedCapabilities = await this.deniedCapabilities(tx, clusterId);
    const members = await this.members.forSnapshots(tx, clusterId, nodeIds);
    const byNode = new Map(members.map((member) => [member.nodeId, member]));
    return (nodeId) => {
      const { membershipStatus = 'revoked', capabilities = [] } = byNode.get(nodeId) ?? {};
      return { membershipStatus, capabilities, deniedCapabilities };
    };
  }

  private async deniedCapabilities(tx: ReadTx, clusterId: string): Promise<readonly string[]> {
    return (await this.policies.get(tx, clusterId)).capabilityPolicy.denied ?? [];
  }
}

/** Whoever builds on the node's roles looks again, and so do its snapshots. */
async function changed(tx: Tx, { clusterId, nodeId }: RoleAssignment): Promise<void> {
  tx.touch(clusterId, [nodeId]);
  await tx.raise(new RolesChanged(clusterId, [nodeId]));
}

/** Health and time change what an assignment gives without changing the assignment: `If-Match` looks at that alone. */
export function roleAssignmentEtag({
  effective,
  ineffectiveReason: reason,
  ...config
}: RoleAssignmentView): string {
  return twoPartEtag(config, { effective, reason });
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

function view(assignment: RoleAssignment, bearer: RoleBearer, now: Date): RoleAssignmentView {
  const { validFrom, validUntil, assignedAt, policy, ...rest } = assignment;
  const reason = ineffectiveReason(roleGrant(assignment), bearer, now);
  return {
    ...rest,
    effective: reason === null,
    ineffectiveReason: reason,
    policy: policy as RoleAssignmentView['policy'],
    validFrom: validFrom?.toISOString() ?? null,
    validUntil: validUntil?.toISOString() ?? null,
    assignedAt: assignedAt.toISOString(),
  };
}

function instant(text: string | null | undefined): Date | null {
  return text == null ? null : new Date(text);
}

function noSuchAssignment() {
  return notFound('not_found', 'There is no such role assignment in this cluster.');
}

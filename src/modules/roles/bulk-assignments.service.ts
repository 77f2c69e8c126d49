import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { Actor } from '../../common/request/actor.js';
import { type Outcome, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Membership } from '../nodes/membership.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { NodeSelections } from '../nodes/node-selections.js';
import { MAX_NAMED_NODES, type NodeSelector } from '../nodes/node-selector.js';
import type {
  BulkAssignmentOutcome,
  BulkAssignmentView,
  CreateBulkAssignment,
} from './bulk-assignments.schema.js';
import { roleAssignmentCreated } from './role-assignment.js';
import { RoleAssignmentsRepository } from './role-assignments.repository.js';
import { RoleBearers } from './role-bearers.js';
import { rolesChanged } from './role-events.js';
import { incapacity, newAssignment, type RoleTerms, requireFuture, roleTerms } from './role-terms.js';

/** Gives a role to many nodes in one transaction, a few statements whatever their number. */
@Injectable()
export class BulkAssignmentsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly selections: NodeSelections,
    private readonly memberships: MembershipsService,
    private readonly members: MembershipsReadModel,
    private readonly assignments: RoleAssignmentsRepository,
    private readonly bearers: RoleBearers,
  ) {}

  /**
   * Gives the role to every selected node that can have it and has it not; a node that is refused keeps no other from it.
   * @throws invalid `group_not_found`, `selection_too_large`, `invalid_request` when it would be over already
   */
  create(
    actor: Actor,
    clusterId: string,
    { selector, ...requested }: z.infer<typeof CreateBulkAssignment>,
  ): Promise<BulkAssignmentView> {
    const terms = roleTerms(requested);
    return this.transactor.mutateDirect(actor, async (tx) => {
      requireFuture(terms, tx.now);
      const where = { limit: MAX_NAMED_NODES, member: 'selector' };
      const selected = await this.selections.select(tx, clusterId, selector, where);
      const members = await this.memberships.hold(tx, clusterId, selected, 'to_change');
      const strangers = await this.strangers(tx, clusterId, selector);
      return this.assign(tx, clusterId, terms, members, strangers);
    });
  }

  /** Nodes that the selector names and that are no live members: they are answered for, not passed over. */
  private async strangers(tx: Tx, clusterId: string, { nodeIds }: NodeSelector): Promise<string[]> {
    if (nodeIds === undefined) return [];
    const live = new Set(await this.members.live(tx, clusterId, nodeIds));
    return [...new Set(nodeIds)].filter((nodeId) => !live.has(nodeId));
  }

  private async assign(
    tx: Tx,
    clusterId: string,
    terms: RoleTerms,
    members: readonly Membership[],
    strangers: readonly string[],
  ): Promise<Outcome<BulkAssignmentView>> {
    const nodeIds = members.map(({ nodeId }) => nodeId);
    const present = await this.assignments.inScope(tx, clusterId, terms, nodeIds);
    const deniedCapabilities = await this.bearers.deniedCapabilities(tx, clusterId);
    const outcomes = new Map(strangers.map((nodeId) => [nodeId, notMember(nodeId)]));
    const able: string[] = [];
    for (const { nodeId, membershipStatus, capabilities } of members) {
      const assignmentId = present.get(nodeId);
      const why = incapacity(terms.role, { capabilities, deniedCapabilities });
      // Revoked since it was selected: whoever did it was waited for.
      if (membershipStatus === 'revoked') outcomes.set(nodeId, notMember(nodeId));
      else if (assignmentId !== undefined)
        outcomes.set(nodeId, { ...plain(nodeId, 'already_assigned'), assignmentId });
      else if (why !== null) outcomes.set(nodeId, refused(nodeId, 'capability_missing', why.detail));
      else able.push(nodeId);
    }
    const made = able.map((nodeId) => newAssignment(tx, clusterId, nodeId, terms));
    for (const { nodeId, id } of made)
      outcomes.set(nodeId, { ...plain(nodeId, 'assigned'), assignmentId: id });
    const result = bulkView([...outcomes.values()]);
    const [first, ...others] = made.map(roleAssignmentCreated);
    if (first === undefined) return { result, unchanged: true };
    await this.assignments.insertAll(tx, made);
    await rolesChanged(tx, clusterId, able);
    return { result, events: [first, ...others] };
  }
}

function plain(nodeId: string, outcome: BulkAssignmentOutcome['outcome']): BulkAssignmentOutcome {
  return { nodeId, outcome, code: null, detail: null, assignmentId: null };
}

function refused(
  nodeId: string,
  code: NonNullable<BulkAssignmentOutcome['code']>,
  detail: string,
): BulkAssignmentOutcome {
  return { ...plain(nodeId, 'refused'), code, detail };
}

function notMember(nodeId: string): BulkAssignmentOutcome {
  return refused(nodeId, 'node_not_member', 'The node has no live membership in this cluster.');
}

function bulkView(outcomes: readonly BulkAssignmentOutcome[]): BulkAssignmentView {
  const results = [...outcomes].sort((one, other) => (one.nodeId < other.nodeId ? -1 : 1));
  const count = (outcome: BulkAssignmentOutcome['outcome']) =>
    results.filter((result) => result.outcome === outcome).length;
  return {
    assigned: count('assigned'),
    alreadyAssigned: count('already_assigned'),
    refused: count('refused'),
    results,
  };
}

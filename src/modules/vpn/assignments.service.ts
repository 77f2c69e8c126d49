import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { grantedRoles } from '../roles/role-assignment.js';
import { AssignmentsRepository, type Fit, type NodeConnection } from './assignments.repository.js';
import type {
  AssignmentQuery,
  AssignmentReport,
  AssignmentStatus,
  AssignmentView,
  OwnAssignment,
  OwnAssignmentQuery,
  ReportAssignment,
} from './assignments.schema.js';
import { type Candidate, ineligibleReasons } from './eligibility.js';
import { isInForce, type Lease } from './lease.js';
import { LeasesRepository } from './leases.repository.js';
import { leaseView } from './leases.schema.js';
import { VpnCandidates } from './vpn-candidates.js';
import { noSuchConnection, ROLE_OF_KIND, type VpnKind } from './vpn-connection.js';

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'vpn_assignment.status_changed': {
      before: { nodeId: string; status: AssignmentStatus };
      after: { nodeId: string; status: AssignmentStatus; message: string | null };
    };
  }
}

/** The node's assignments at one instant. */
export type OwnAssignments = Page<OwnAssignment> & { serverTime: string };

/** Says who may hold which connection, and what nodes report of theirs. */
@Injectable()
export class AssignmentsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly assignments: AssignmentsRepository,
    private readonly leases: LeasesRepository,
    private readonly members: MembershipsReadModel,
    private readonly candidates: VpnCandidates,
    private readonly paging: Paging,
  ) {}

  /** The connections that the node may hold: those that allow it and that one of its roles fits. Newest first. */
  ofNode(
    { clusterId, nodeId }: NodePrincipal,
    { limit, cursor }: z.infer<typeof OwnAssignmentQuery>,
  ): Promise<OwnAssignments> {
    const list = { kind: 'own_vpn_assignments', filters: { clusterId, nodeId }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const candidate = (await this.candidates.of(tx, clusterId, [nodeId]))(nodeId, true);
      const page = { after: this.paging.after(list), limit };
      const rows = await this.assignments.ofNode(tx, clusterId, nodeId, fitsOf(candidate), page);
      const leases = await this.assignments.leases(
        tx,
        rows.map(({ connection }) => connection.id),
      );
      const leaseOf = new Map(leases.map((lease) => [lease.connectionId, lease]));
      const shown = this.paging.page(
        list,
        rows,
        ({ connection }) => [connection.id],
        (row) =>
          ownAssignment(row, leaseOf.get(row.connection.id) ?? null, { nodeId, candidate, now: tx.now }),
      );
      return { ...shown, serverTime: tx.now.toISOString() };
    });
  }

  /** Takes what the node says of a connection; a change of status is told. @throws not_found */
  report(
    actor: Actor,
    { clusterId, nodeId }: NodePrincipal,
    connectionId: string,
    { status, message = null }: z.infer<typeof ReportAssignment>,
  ): Promise<AssignmentReport> {
    return this.transactor.observe(actor, async (tx) => {
      const last = await this.assignments.lastReport(tx, clusterId, connectionId, nodeId);
      if (last === null) throw noSuchConnection();
      const report = { status, message, reportedAt: tx.now };
      await this.assignments.report(tx, { clusterId, connectionId, nodeId }, report);
      const result = { connectionId, status, message, reportedAt: tx.now.toISOString() };
      const before = last.status ?? 'unknown';
      if (before === status) return { result };
      const event: AuditEvent = {
        action: 'vpn_assignment.status_changed',
        resource: { type: 'vpn_connection', id: connectionId, name: last.name },
        clusterId,
        organizationId: last.organizationId,
        outcome: 'success',
        reason: null,
        before: { nodeId, status: before },
        after: { nodeId, status, message },
      };
      return { result, events: [event] };
    });
  }

  /** Every node that the connection allows, with what keeps it from holding it. @throws not_found */
  ofConnection(
    clusterId: string,
    connectionId: string,
    { limit, cursor }: z.infer<typeof AssignmentQuery>,
  ): Promise<Page<AssignmentView>> {
    const list = { kind: 'vpn_assignments', filters: { clusterId, connectionId }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const [state] = await this.leases.states(tx, [connectionId]);
      if (state === undefined || state.connection.clusterId !== clusterId || state.connection.isDeleted)
        throw noSuchConnection();
      const { connection, lease } = state;
      const rows = await this.assignments.ofConnection(tx, connectionId, {
        after: this.paging.after(list),
        limit,
      });
      const nodeIds = rows.map(({ nodeId }) => nodeId);
      const candidates = await this.candidates.of(tx, clusterId, nodeIds);
      const members = await this.members.forSnapshots(tx, clusterId, nodeIds);
      const names = new Map(members.map(({ nodeId, name }) => [nodeId, name]));
      const owner = isInForce(lease, tx.now) ? lease?.ownerNodeId : null;
      return this.paging.page(
        list,
        rows,
        ({ nodeId }) => [nodeId],
        ({ nodeId, preference, status, message, reportedAt }) => {
          const reasons = ineligibleReasons(connection, candidates(nodeId, true), tx.now);
          return {
            nodeId,
            name: names.get(nodeId) ?? null,
            preference,
            eligible: reasons.length === 0,
            reasons,
            holdsLease: nodeId === owner,
            status: status ?? 'unknown',
            message,
            reportedAt: reportedAt?.toISOString() ?? null,
          };
        },
      );
    });
  }
}

/** The kinds of connections that the node's roles are for. Those that time alone keeps from being effective count: what
 *  is to come is known, and a snapshot has it too. */
function fitsOf({ grants, capabilities, deniedCapabilities, membershipStatus }: Candidate): Fit[] {
  if (membershipStatus === null) return [];
  const granted = grantedRoles(grants, capabilities, deniedCapabilities, membershipStatus);
  return (Object.keys(ROLE_OF_KIND) as VpnKind[]).flatMap((kind) =>
    granted
      .filter(({ role }) => role === ROLE_OF_KIND[kind])
      .map(({ organizationId }) => ({ kind, organizationId })),
  );
}

function ownAssignment(
  { connection, hasCredentialRef, routePolicies, status }: NodeConnection,
  lease: Lease | null,
  { nodeId, candidate, now }: { nodeId: string; candidate: Candidate; now: Date },
): OwnAssignment {
  const { id, name, kind, desiredState, leaseTtlSeconds } = connection;
  const held = isInForce(lease, now) ? lease : null;
  const reasons = ineligibleReasons(connection, candidate, now);
  return {
    connectionId: id,
    name,
    kind,
    desiredState,
    hasCredentialRef,
    leaseTtlSeconds,
    routePolicies,
    lease: held?.ownerNodeId === nodeId ? leaseView(held, now, connection) : null,
    heldUntil: held === null || held.ownerNodeId === nodeId ? null : held.expiresAt.toISOString(),
    eligible: reasons.length === 0,
    reasons,
    status: status ?? 'unknown',
  };
}

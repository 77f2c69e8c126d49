import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { AuditEvent, AuditEvents } from '../../common/audit/audit-event.js';
import type { Principal } from '../../common/auth/principal.js';
import { conflict, forbidden } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { requirePermission } from '../access/require-permission.js';
import { blockedAgentVersion } from '../clusters/agent-version-policy.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { RoleAssignmentsService } from '../roles/role-assignments.service.js';
import { type Admission, requireScope } from './admission.js';
import {
  hostProofOverridden,
  type JoinRequest,
  joinRequestApproved,
  type KnownHost,
  requestDigest,
  requireUndecided,
} from './join-request.js';
import { JoinRequestReviews } from './join-request-reviews.js';
import { JoinRequestsRepository } from './join-requests.repository.js';
import type { ApproveJoinRequest, JoinRequestView } from './join-requests.schema.js';
import { JoinRequestsService, noSuchRequest } from './join-requests.service.js';
import type { JoinToken } from './join-token.js';
import { defaultRoles } from './join-token-scope.js';
import { JoinTokensRepository } from './join-tokens.repository.js';
import { KnownHosts } from './known-hosts.service.js';
import { Readmissions } from './readmissions.service.js';

/** Turns join requests into members. */
@Injectable()
export class JoinApprovalsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly requests: JoinRequestsRepository,
    private readonly joinTokens: JoinTokensRepository,
    private readonly joinRequests: JoinRequestsService,
    private readonly reviews: JoinRequestReviews,
    private readonly memberships: MembershipsService,
    private readonly roles: RoleAssignmentsService,
    private readonly policies: PolicyReadModel,
    private readonly knownHosts: KnownHosts,
    private readonly readmissions: Readmissions,
  ) {}

  /**
   * Admits the node of a request, once, however many decide at the same time.
   * @throws not_found; conflict `join_request_decided`, `join_request_changed`, `node_name_taken`,
   * `key_already_enrolled`, `capability_missing`; invalid `outside_token_scope`, `group_not_found`; forbidden
   * `token_maker_may_not_approve`, and without role_assignments.create when roles are to be given; for a known node
   * what {@link KnownHosts} throws
   */
  approve(
    principal: Principal,
    clusterId: string,
    id: string,
    input: z.infer<typeof ApproveJoinRequest>,
  ): Promise<JoinRequestView> {
    return this.transactor.mutate(principal.actor, async (tx) => {
      const { request, token } = await this.lock(tx, clusterId, id);
      requireUndecided(request, 'approved', await tx.clock());
      requireDigest(request, input.requestDigest);
      const policy = await this.policies.get(tx, clusterId);
      if (!policy.tokenMakerMayApprove && isMaker(token, principal)) throw tokenMakerMayNotApprove();
      const { existingNodeId } = input;
      const knownHost =
        existingNodeId === undefined
          ? null
          : await this.knownHosts.require(tx, principal, request, existingNodeId, input);
      const admission =
        knownHost?.isMember === true
          ? await this.readmissions.of(tx, token, knownHost.nodeId, input)
          : await this.admissionOf(tx, request, token, input);
      requireScope(token, admission);
      if (admission.roles.length > 0)
        requirePermission(principal, 'role_assignments.create', clusterId, 'To give roles by the approval');
      const how = { automatic: false, knownHost };
      const { approved, events } = await this.admit(tx, request, token, admission, how);
      return { result: await this.joinRequests.show(tx, approved), events };
    });
  }

  /** Whether the policy lets anybody in without a review, and this agent. */
  async mayAdmitUnseen(tx: ReadTx, { clusterId, agentVersion }: JoinRequest): Promise<boolean> {
    const { tokenMakerMayApprove, agentVersionPolicy } = await this.policies.get(tx, clusterId);
    // A token that approves by itself is its maker's approval, given beforehand.
    return tokenMakerMayApprove && blockedAgentVersion(agentVersionPolicy, agentVersion) === null;
  }

  /** Admits at once, in the transaction of the request: its token was made for it. @throws what admission throws */
  async approveAutomatically(
    tx: Tx,
    request: JoinRequest,
    token: JoinToken,
  ): Promise<{ approved: JoinRequest; events: AuditEvents }> {
    const how = { automatic: true, knownHost: null };
    return this.admit(tx, request, token, await this.admissionOf(tx, request, token, {}), how);
  }

  /** Locks the token first, as whoever spends its uses does, so that no use is counted as free while it is decided. */
  private async lock(
    tx: Tx,
    clusterId: string,
    id: string,
  ): Promise<{ request: JoinRequest; token: JoinToken }> {
    const seen = await this.requests.find(tx, clusterId, id);
    const token = seen === null ? null : await this.joinTokens.lock(tx, seen.tokenId);
    const request = token === null ? null : await this.requests.lock(tx, id);
    if (token === null || request === null) throw noSuchRequest();
    return { request, token };
  }

  private async admissionOf(
    tx: ReadTx,
    request: JoinRequest,
    { scope }: JoinToken,
    input: z.infer<typeof ApproveJoinRequest>,
  ): Promise<Admission> {
    const { nodeName = request.nodeName, groupId = scope.groupId ?? null, labels = {} } = input;
    const denied = (await this.policies.get(tx, request.clusterId)).capabilityPolicy.denied ?? [];
    const usable = request.reportedCapabilities.filter((name) => !denied.includes(name));
    return {
      nodeName,
      groupId,
      labels,
      roles: input.roles ?? defaultRoles(scope, request.requestedRoles, usable),
    };
  }

  private async admit(
    tx: Tx,
    request: JoinRequest,
    token: JoinToken,
    { nodeName, groupId, labels, roles }: Admission,
    { automatic, knownHost }: { automatic: boolean; knownHost: KnownHost | null },
  ): Promise<{ approved: JoinRequest; events: AuditEvents }> {
    const { clusterId, reportedFacts: facts } = request;
    const warnings = (await this.reviews.warnings(tx, clusterId, [request])).get(request.id) ?? [];
    const nodeId = knownHost?.nodeId ?? tx.newId();
    const key = { nodeId, clusterId, publicKey: request.publicKey, keyThumbprint: request.nodeFingerprint };
    const rekeyed: AuditEvent[] = [];
    if (knownHost?.isMember === true)
      rekeyed.push(...(await this.memberships.giveKey(tx, key, request.reportedCapabilities, facts)));
    else {
      await this.memberships.admit(tx, {
        ...key,
        isNewNode: knownHost === null,
        name: nodeName,
        groupId,
        labels,
        capabilities: request.reportedCapabilities,
        facts,
        agentVersion: request.agentVersion,
        os: String(facts.os),
        arch: String(facts.arch),
        machineId: typeof facts.machineId === 'string' ? facts.machineId : null,
      });
    }
    const by = { type: tx.actor.type, id: tx.actor.id ?? tx.actor.type };
    const approved = await this.requests.decide(
      tx,
      request.id,
      { status: 'approved', approvedNodeId: nodeId },
      by,
    );
    const codes = [...new Set(warnings.map((warning) => warning.code))];
    const event = joinRequestApproved(request, {
      nodeId,
      nodeName,
      groupId,
      roles,
      automatic,
      warnings: codes,
      knownHost: knownHost === null ? null : howKnown(knownHost),
    });
    const vouched =
      knownHost === null || knownHost.provenBy !== null ? [] : [hostProofOverridden(request, knownHost)];
    const organizationId = token.scope.organizationId ?? null;
    const given: AuditEvents[] = [];
    for (const role of roles) {
      given.push((await this.roles.assignInTx(tx, { clusterId, nodeId, role, organizationId })).events);
    }
    return { approved, events: [event, ...vouched, ...rekeyed, ...given.flat()] };
  }
}

function requireDigest(request: JoinRequest, reviewed: string | undefined): void {
  const current = requestDigest(request);
  if (reviewed === undefined || reviewed === current) return;
  throw conflict('join_request_changed', 'The request is not the one that was reviewed.', {
    extensions: { requestDigest: current },
  });
}

function howKnown({ isMember, isSameMachine, provenBy }: KnownHost) {
  return { isMember, isSameMachine, provenBy };
}

function isMaker({ createdBy }: JoinToken, { actor }: Principal): boolean {
  return createdBy.type === actor.type && createdBy.id === (actor.id ?? actor.type);
}

function tokenMakerMayNotApprove() {
  return forbidden(
    'token_maker_may_not_approve',
    'The policy of the cluster wants another than the maker of the join token to approve.',
  );
}

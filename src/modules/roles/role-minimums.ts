import { Injectable, type OnModuleInit } from '@nestjs/common';
import { conflict } from '../../common/errors/domain-error.js';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { MembershipDisabled, MembershipEnded } from '../nodes/membership-events.js';
import { ineffectiveReason, type RoleBearer } from './role-assignment.js';
import { RoleBearers } from './role-bearers.js';
import type { RoleName } from './role-catalogue.js';
import { RoleCoverageRepository } from './role-coverage.repository.js';
import { RolesReadModel } from './roles.read-model.js';

/**
 * Keeps operators from taking the last nodes of a role that the cluster wants a minimum of. What agents and the clock
 * take, nobody can refuse: it shows as a gap.
 *
 * Whoever takes a node out of a role locks in this order: the cluster, memberships by node id, assignments, minimums by
 * role. A minimum is locked last and until the commit, so that of two who take one node each the second waits, and then
 * counts without the node of the first.
 */
@Injectable()
export class RoleMinimums implements OnModuleInit {
  constructor(
    private readonly events: TxEvents,
    private readonly coverage: RoleCoverageRepository,
    private readonly roles: RolesReadModel,
    private readonly bearers: RoleBearers,
  ) {}

  onModuleInit(): void {
    const heed = async (tx: Tx, taken: MembershipDisabled | MembershipEnded) => {
      const { clusterId, nodeId, from, force } = taken;
      const roles = await this.effectiveRoles(tx, clusterId, nodeId, from);
      taken.rolesBelowMinimum.push(...(await this.heed(tx, clusterId, roles, force)));
    };
    this.events.on(MembershipDisabled, heed);
    this.events.on(MembershipEnded, heed);
  }

  /** What `take` takes from a node whose membership is locked. Returns the roles that are below their minimum by it, for
   *  the audit event of who insisted. @throws conflict `role_minimum_violated` unless `force` is given */
  async watch(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    force: boolean,
    take: () => Promise<void>,
  ): Promise<RoleName[]> {
    const before = await this.effectiveRoles(tx, clusterId, nodeId);
    await take();
    const after = before.length === 0 ? [] : await this.effectiveRoles(tx, clusterId, nodeId);
    return this.heed(
      tx,
      clusterId,
      before.filter((role) => !after.includes(role)),
      force,
    );
  }

  /** @param lost roles in which a node was effective and is no more */
  private async heed(
    tx: Tx,
    clusterId: string,
    lost: readonly RoleName[],
    force: boolean,
  ): Promise<RoleName[]> {
    if (lost.length === 0) return [];
    const shortages = await this.coverage.shortages(tx, clusterId, lost);
    if (shortages.length === 0 || force) return shortages.map(({ role }) => role);
    const named = shortages.map(
      ({ role, minimum, effective }) => `${role} on ${effective} of ${minimum} nodes`,
    );
    throw conflict('role_minimum_violated', `It would leave ${named.join(', ')}.`, {
      extensions: { clusterId, roles: shortages },
    });
  }

  /** The roles in which the node is effective. @param status of its membership, where another is to be assumed */
  private async effectiveRoles(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    status?: RoleBearer['membershipStatus'],
  ): Promise<RoleName[]> {
    const grants = (await this.roles.forNodes(tx, clusterId, [nodeId])).get(nodeId) ?? [];
    if (grants.length === 0) return [];
    const known = (await this.bearers.of(tx, clusterId, [nodeId]))(nodeId);
    const bearer = { ...known, membershipStatus: status ?? known.membershipStatus };
    const now = await tx.clock();
    const effective = grants.filter((grant) => ineffectiveReason(grant, bearer, now) === null);
    return [...new Set(effective.map(({ role }) => role))];
  }
}

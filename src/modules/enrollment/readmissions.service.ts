import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { invalid } from '../../common/errors/domain-error.js';
import { jsonPointer } from '../../common/json/json-pointer.js';
import type { Tx } from '../../common/transaction/tx.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { type Admission, requireScope } from './admission.js';
import type { ApproveJoinRequest } from './join-requests.schema.js';
import type { JoinToken } from './join-token.js';

/** What a member keeps whatever key it is known by; it has calls of its own. */
const KEPT = ['nodeName', 'groupId', 'labels', 'roles'] as const;

/** What members whose key was revoked come back to; see docs/adr/0030. */
@Injectable()
export class Readmissions {
  constructor(
    private readonly memberships: MembershipsService,
    private readonly roles: RolesReadModel,
  ) {}

  /**
   * What the member is, and stays, with its new key. All of it goes over to that key, so that the token has to be made
   * for as much. The member is locked until the transaction ends.
   * @throws invalid when the approval would change it, and `outside_token_scope`; not_found; conflict `membership_revoked`
   */
  async of(
    tx: Tx,
    token: JoinToken,
    nodeId: string,
    input: z.infer<typeof ApproveJoinRequest>,
  ): Promise<Admission> {
    const changed = KEPT.filter((member) => input[member] !== undefined);
    if (changed.length > 0) {
      const message = 'The node is a member already and keeps what it has; change it by its own calls.';
      const errors = changed.map((member) => ({ pointer: jsonPointer([member]), message }));
      throw invalid('invalid_request', 'A new key for a member changes nothing else of it.', { errors });
    }
    const {
      name: nodeName,
      groupId,
      labels,
    } = await this.memberships.lockMember(tx, token.clusterId, nodeId);
    const grants = (await this.roles.forNodes(tx, token.clusterId, [nodeId])).get(nodeId) ?? [];
    requireScope(token, { nodeName, groupId, roles: [...new Set(grants.map(({ role }) => role))] });
    return { nodeName, groupId, labels, roles: [] };
  }
}

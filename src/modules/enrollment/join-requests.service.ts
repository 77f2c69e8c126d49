import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { notFound } from '../../common/errors/domain-error.js';
import { twoPartEtag } from '../../common/http/etag.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import {
  type JoinRequest,
  joinRequestEnded,
  joinRequestStatus,
  requestDigest,
  requireUndecided,
} from './join-request.js';
import { JoinRequestReviews } from './join-request-reviews.js';
import type { JoinRequestWarning } from './join-request-warnings.js';
import { JoinRequestsRepository } from './join-requests.repository.js';
import type { JoinRequestQuery, JoinRequestView } from './join-requests.schema.js';
import { JoinTokensRepository } from './join-tokens.repository.js';

/** Join requests as those who review them see them. */
@Injectable()
export class JoinRequestsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly requests: JoinRequestsRepository,
    private readonly joinTokens: JoinTokensRepository,
    private readonly reviews: JoinRequestReviews,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found */
  get(clusterId: string, id: string): Promise<JoinRequestView> {
    return this.transactor.read(async (tx) => {
      const request = await this.requests.find(tx, clusterId, id);
      if (request === null) throw noSuchRequest();
      return this.show(tx, request);
    });
  }

  /** Newest first. */
  list(clusterId: string, query: z.infer<typeof JoinRequestQuery>): Promise<Page<JoinRequestView>> {
    const { limit, cursor, ...filter } = query;
    const list = { kind: 'join_requests', filters: { clusterId, ...filter }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.requests.list(tx, clusterId, filter, this.paging.after(list), limit);
      const warnings = await this.reviews.warnings(
        tx,
        clusterId,
        rows.filter((row) => isPending(row, tx.now)),
      );
      const keyOf = (row: JoinRequest) => [row.createdAt.toISOString(), row.id];
      return this.paging.page(list, rows, keyOf, (row) =>
        joinRequestView(row, warnings.get(row.id) ?? [], tx.now),
      );
    });
  }

  /** Refuses the node and gives the use of its token back. @throws not_found; conflict `join_request_decided` */
  reject(actor: Actor, clusterId: string, id: string, reason: string): Promise<JoinRequestView> {
    return this.transactor.mutate(actor, async (tx) => {
      const request = await this.requests.lock(tx, id);
      if (request === null || request.clusterId !== clusterId) throw noSuchRequest();
      requireUndecided(request, 'rejected', await tx.clock());
      const by = { type: actor.type, id: actor.id ?? actor.type };
      const rejected = await this.requests.decide(
        tx,
        id,
        { status: 'rejected', rejectionReason: reason },
        by,
      );
      await this.joinTokens.giveBack(tx, request.tokenId, request.nodeFingerprint);
      return {
        result: await this.show(tx, rejected),
        events: [joinRequestEnded(request, 'rejected', reason)],
      };
    });
  }

  /** The request as the API shows it. */
  async show(tx: ReadTx, request: JoinRequest): Promise<JoinRequestView> {
    const open = isPending(request, tx.now) ? [request] : [];
    const warnings = await this.reviews.warnings(tx, request.clusterId, open);
    return joinRequestView(request, warnings.get(request.id) ?? [], tx.now);
  }
}

/** What surrounds a request, and the clock, change its warnings and its status without changing the request. */
export function joinRequestEtag({ status, warnings, ...config }: JoinRequestView): string {
  return twoPartEtag(config, { status, warnings });
}

/** The refusal of an id that the cluster does not have. */
export function noSuchRequest() {
  return notFound('not_found', 'There is no such join request in this cluster.');
}

function isPending(request: JoinRequest, now: Date): boolean {
  return joinRequestStatus(request, now) === 'pending';
}

function joinRequestView(request: JoinRequest, warnings: JoinRequestWarning[], now: Date): JoinRequestView {
  const {
    clockSkewSeconds: _skew,
    certificate: _certificate,
    reportedFacts,
    expiresAt,
    reviewedAt,
    createdAt,
    ...rest
  } = request;
  return {
    ...rest,
    reportedFacts: reportedFacts as JoinRequestView['reportedFacts'],
    status: joinRequestStatus(request, now),
    requestDigest: requestDigest(request),
    warnings,
    expiresAt: expiresAt.toISOString(),
    reviewedAt: reviewedAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  };
}

import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AuthorityClaims } from '../authority/authority-claims.service.js';
import { HeartbeatFollowers } from './heartbeat-followers.js';

/** Passes on what heartbeats claim: a term that the authority has not reached. */
@Injectable()
export class TermClaims implements OnModuleInit {
  constructor(
    private readonly followers: HeartbeatFollowers,
    private readonly claims: AuthorityClaims,
  ) {}

  onModuleInit(): void {
    this.followers.add((_, { clusterId, nodeId, authorityTermSeen = 0 }, { authorityTerm }) => {
      if (authorityTermSeen <= authorityTerm) return undefined;
      return this.claims.claimed({ clusterId, nodeId, claimedTerm: authorityTermSeen, source: 'heartbeat' });
    });
  }
}

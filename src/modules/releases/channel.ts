import type { AuditEvent } from '../../common/audit/audit-event.js';
import { notFound } from '../../common/errors/domain-error.js';
import type { ReleaseRef } from './release-events.js';

export const CHANNELS = ['stable', 'current', 'candidate'] as const;
export type ChannelName = (typeof CHANNELS)[number];

/** Where a channel of a product points in a cluster. Each product has its three, pointing nowhere at first. */
export interface Channel {
  clusterId: string;
  productId: string;
  product: string;
  channel: ChannelName;
  releaseId: string | null;
  version: string | null;
  /** Grows with each move; 0: it has never pointed anywhere. */
  revision: number;
  updatedAt: Date | null;
}

interface Pointer {
  version: string | null;
  revision: number;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'channel.moved': { before: Pointer; after: Pointer };
    'channel.promotion_refused': { before: null; after: { version: string } };
  }
}

/** @param reason of the block that moved it; null: an operator did */
export function channelMoved(channel: Channel, to: ReleaseRef | null, reason: string | null): AuditEvent {
  const { clusterId, product, channel: name, version, revision } = channel;
  return {
    action: 'channel.moved',
    resource: { type: 'channel', id: `${product}/${name}`, name: `${product} ${name}` },
    clusterId,
    outcome: 'success',
    reason,
    before: { version, revision },
    after: { version: to?.version ?? null, revision: revision + 1 },
  };
}

/** The event of a promotion that was asked for too early; what refused it says why. */
export function promotionRefused(
  { clusterId, product, channel }: { clusterId: string; product: string; channel: string },
  version: string,
  reason: string | null,
): AuditEvent {
  return {
    action: 'channel.promotion_refused',
    resource: { type: 'channel', id: `${product}/${channel}`, name: `${product} ${channel}` },
    clusterId,
    outcome: 'failed',
    reason,
    before: null,
    after: { version },
  };
}

/** What it points to. */
export function targetOf({ productId, releaseId, version }: Channel): ReleaseRef | null {
  return releaseId === null || version === null ? null : { productId, releaseId, version };
}

export function isChannel(name: string): name is ChannelName {
  return (CHANNELS as readonly string[]).includes(name);
}

export function noSuchChannel() {
  return notFound('not_found', 'There is no such product, or no such channel of it.');
}

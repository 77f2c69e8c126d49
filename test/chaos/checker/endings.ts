import type { Operation } from './history.js';

/** A lease that was ended from outside: by a fence, or since its holder lost what it rested on. */
export interface Ending {
  token: number;
  /** Of the machine's monotonic clock: its holder may be without authority from here on, and hears of it later. */
  from: number;
}

/** What ended leases of a connection from outside, or may have. */
export function endingsOf(operations: readonly Operation[]): Ending[] {
  const leases = new Map<number, { nodeId: string | undefined; askedAt: number }>();
  for (const { f, outcome, answer, invokedAt } of operations) {
    const { token, nodeId } = answer;
    if (outcome !== 'ok' || (f !== 'acquire' && f !== 'renew') || token === undefined) continue;
    if (!leases.has(token)) leases.set(token, { nodeId, askedAt: invokedAt });
  }
  return operations
    .filter(({ f, outcome }) => (f === 'fence' || f === 'revoke') && outcome !== 'fail')
    .flatMap((ending) =>
      [...leases]
        .filter(([, { askedAt }]) => askedAt < ending.completedAt)
        .filter(([token, { nodeId }]) => mayEnd(ending, token, nodeId))
        .map(([token]) => ({ token, from: ending.invokedAt })),
    );
}

function mayEnd({ f, outcome, call, answer }: Operation, token: number, nodeId: string | undefined): boolean {
  if (f === 'revoke') return nodeId === call.nodeId;
  return outcome === 'info' || answer.ended === token;
}

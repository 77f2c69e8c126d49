import { type Fields, optionalNumber, optionalText } from './answer-fields.js';
import type { HeartbeatPart } from './heartbeat-part.js';

/**
 * Gives back who held the authority according to the last answer. Where a cluster is cut in two, the node that has moved
 * from one side to the other shows it by this. Said only with the term that it was heard with: with any other one it
 * would be a contradiction that nobody has seen.
 */
export class AuthoritySeen implements HeartbeatPart {
  private last: { term: number | null; holder: string | null } = { term: null, holder: null };

  /** @param termSeen of the held snapshot, which is the term that heartbeats report; null before the first */
  constructor(private readonly termSeen: () => number | null) {}

  report(): Record<string, unknown> {
    const { term, holder } = this.last;
    return holder !== null && term !== null && term === this.termSeen()
      ? { authorityHolderSeen: holder }
      : {};
  }

  heard(answer: Fields): void {
    this.last = {
      term: optionalNumber(answer, 'authorityTerm'),
      holder: optionalText(answer, 'authorityHolder'),
    };
  }
}

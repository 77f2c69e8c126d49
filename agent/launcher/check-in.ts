import type { HeartbeatPart } from '../heartbeat-part.js';
import type { AgentWord } from './launcher-protocol.js';

/**
 * Tells the launcher that this agent works: its control plane has answered a heartbeat, and it holds a snapshot whose
 * signature it has verified itself. An agent that cannot read snapshots could never be told of the next update.
 */
export class CheckIn implements HeartbeatPart {
  constructor(
    /** Null: nobody would put another agent in the place of this one. */
    private readonly launcher: { say(word: AgentWord): void } | null,
    private readonly agentVersion: string,
    private readonly holdsSnapshot: () => boolean,
  ) {}

  report(): Record<string, unknown> {
    return {};
  }

  heard(): void {
    if (this.holdsSnapshot()) this.launcher?.say({ checkedIn: this.agentVersion });
  }
}

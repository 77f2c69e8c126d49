/** The first line that the agent sends to a guard. */
export interface GuardOrder {
  start: readonly string[];
  stop: readonly string[];
  env: Readonly<Record<string, string>>;
  startTimeoutMs: number;
  stopTimeoutMs: number;
  deadline: GuardDeadline;
}

/** When a guard begins to stop by itself: so long after a moment of the clock that all processes of the host share. */
export interface GuardDeadline {
  /** Nanoseconds of that clock, in decimal. */
  at: string;
  leftMs: number;
}

/** Each further line from the agent. The end of its lines means the same as a stop. */
export type GuardMessage = { deadline: GuardDeadline } | { stop: true };

/** What a guard says, one JSON object a line. It ends once the tunnel is down. */
export type GuardReport = { up: true } | { failed: string } | { stopFailed: string };

import type { Fields } from './answer-fields.js';

/** A part of the agent that says something in heartbeats, or listens to their answers. */
export interface HeartbeatPart {
  /** Members for the next heartbeat. They must hold when it is sent: what is not durable yet is not said. */
  report(): Record<string, unknown>;
  /** Called with each answer, which nobody has signed. It must return at once. */
  heard(answer: Fields): void;
}

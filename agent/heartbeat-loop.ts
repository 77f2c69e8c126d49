import { v4 as uuid } from 'uuid';
import { fieldsOf, optionalNumber } from './answer-fields.js';
import type { ApiAnswer } from './api-client.js';
import { jitteredMs } from './backoff.js';
import type { HeartbeatPart } from './heartbeat-part.js';
import { hostLoad } from './host-load.js';
import { afterFailure, type LoopContext } from './loop.js';
import type { NodeApi } from './node-api.js';
import type { ServerClock } from './server-clock.js';
import type { SnapshotWatch } from './snapshot-watch.js';
import type { StateStore } from './state-store.js';
import type { Turns } from './turns.js';
import { AGENT_VERSION } from './version.js';
import { pause } from './waiting.js';

const DEFAULT_INTERVAL_SECONDS = 30;
const INTERVAL_RANGE_SECONDS = { min: 1, max: 3_600 };

/** Tells the control plane that the node lives, at the interval that the server names. */
export class HeartbeatLoop {
  /** Of this process: with the sequence it lets the server tell a restart from a clone. */
  private readonly agentInstanceId = uuid();
  private sequence = 0;

  constructor(
    private readonly api: NodeApi,
    private readonly watch: SnapshotWatch,
    private readonly store: StateStore,
    private readonly clock: ServerClock,
    private readonly context: LoopContext,
    private readonly parts: readonly HeartbeatPart[],
    /** Shared with whatever else reports the same things: an older report must not arrive after a newer one. */
    private readonly turns: Turns,
  ) {}

  /** Beats until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    let failures = 0;
    while (!stop.aborted) {
      let waitMs: number;
      try {
        const seconds = await this.beat();
        failures = 0;
        waitMs = jitteredMs(seconds, Math.random());
      } catch (error) {
        waitMs = afterFailure(error, 'heartbeat.failed', failures, this.context);
        failures += 1;
      }
      await pause(waitMs, stop);
    }
  }

  /** One heartbeat; returns the seconds until the next one. */
  private async beat(): Promise<number> {
    // A heartbeat whose answer is lost is sent again with its number: should the first one arrive late, behind the
    // repeat, it is the same once more, and no sequence that goes back as a clone's would.
    const sequence = this.sequence + 1;
    const answer = await this.turns.takeUntil(this.context.stop, () => this.send(sequence));
    this.sequence = sequence;
    const fields = fieldsOf(answer.body, 'body');
    this.clock.observe(fields.serverTime, answer);
    this.context.presence.back();
    const generation = optionalNumber(fields, 'snapshotGeneration');
    const term = optionalNumber(fields, 'authorityTerm');
    this.context.log.debug('heartbeat.ok', { sequence, generation, term });
    this.watch.nudge({ generation, term });
    for (const part of this.parts) part.heard(fields);
    await this.rememberContact();
    const { min, max } = INTERVAL_RANGE_SECONDS;
    const seconds = optionalNumber(fields, 'nextHeartbeatSeconds') ?? DEFAULT_INTERVAL_SECONDS;
    return Math.min(max, Math.max(min, seconds));
  }

  private send(sequence: number): Promise<ApiAnswer> {
    const held = this.watch.held;
    return this.api.send({
      method: 'POST',
      path: '/heartbeat',
      json: {
        agentVersion: AGENT_VERSION,
        agentInstanceId: this.agentInstanceId,
        sequence,
        ...hostLoad(),
        // It has no links to other nodes and so sees none; see docs/adr/0031.
        peersSeen: [],
        // Both from a snapshot whose signature held; an unsigned answer could make the node lie for it.
        ...(held !== null && {
          appliedGeneration: held.snapshot.generation,
          authorityTermSeen: held.snapshot.authorityTerm,
        }),
        ...Object.assign({}, ...this.parts.map((part) => part.report())),
      },
    });
  }

  /** A full disk is worth a line and no failed heartbeat. */
  private async rememberContact(): Promise<void> {
    try {
      await this.store.writeContact({
        lastContactAt: new Date().toISOString(),
        clockOffsetMs: this.clock.offsetMs,
        anchor: this.clock.anchor,
      });
    } catch (error) {
      this.context.log.warn('contact.not_stored', { detail: (error as Error).message });
    }
  }
}

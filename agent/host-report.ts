import type { JoinWish } from './agent-state.js';
import { jitteredMs } from './backoff.js';
import { canonicalJson } from './canonical-json.js';
import { describeHost } from './host-description.js';
import { afterFailure, type LoopContext } from './loop.js';
import type { NodeApi } from './node-api.js';
import { pause } from './waiting.js';

/** How often the host is looked at: a device or a runtime that came or went is known within this time. */
const LOOK_SECONDS = 60;

/** What a host is and can do. */
export type HostDescription = Awaited<ReturnType<typeof describeHost>>;

/** Tells the control plane what the host is and can do: at the start, and whenever that has changed. */
export class HostReport {
  /** What the control plane took last, in its canonical form; null before that. */
  private told: string | null = null;

  constructor(
    private readonly api: NodeApi,
    private readonly wish: JoinWish,
    private readonly context: LoopContext,
    private readonly describe: (wish: JoinWish) => Promise<HostDescription> = describeHost,
    private readonly lookSeconds = LOOK_SECONDS,
  ) {}

  /** Reports until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    for (let failures = 0; !stop.aborted; ) {
      let waitMs = jitteredMs(this.lookSeconds, Math.random());
      try {
        await this.report();
        failures = 0;
      } catch (error) {
        waitMs = afterFailure(error, 'host.report_failed', failures, this.context);
        failures += 1;
      }
      await pause(waitMs, stop);
    }
  }

  private async report(): Promise<void> {
    const { facts, capabilities } = await this.describe(this.wish);
    const description = canonicalJson({ facts, capabilities });
    if (description === this.told) return;
    await this.api.send({ method: 'PUT', path: '/capabilities', json: { capabilities, facts } });
    const isFirst = this.told === null;
    this.told = description;
    this.context.log.info('host.reported', { capabilities, change: !isFirst });
  }
}

import { Injectable } from '@nestjs/common';

/** What a part says of itself. */
export interface PartState {
  ok: boolean;
  detail?: string;
}

/** Longest that a part may think about it; a part that does not answer is not ready. */
const PATIENCE_MS = 2_000;

/** The parts that must work before this instance takes requests; each adds its own check. */
@Injectable()
export class Readiness {
  private readonly checks = new Map<string, () => Promise<PartState>>();

  add(part: string, check: () => Promise<PartState>): void {
    this.checks.set(part, check);
  }

  /** Asks every part at once. */
  async look(): Promise<{ ready: boolean; parts: Record<string, PartState> }> {
    const entries = await Promise.all(
      [...this.checks].map(
        async ([part, check]): Promise<[string, PartState]> => [part, await this.ask(check)],
      ),
    );
    return { ready: entries.every(([, state]) => state.ok), parts: Object.fromEntries(entries) };
  }

  private async ask(check: () => Promise<PartState>): Promise<PartState> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<PartState>((resolve) => {
      timer = setTimeout(() => resolve({ ok: false, detail: 'did not answer in time' }), PATIENCE_MS);
    });
    try {
      return await Promise.race([check().catch(() => ({ ok: false, detail: 'failed' })), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

import type { Log } from './log.js';

/** Says once that the server is away and once that it is back, however many loops notice it. */
export class ServerPresence {
  private awaySince: number | null = null;

  constructor(private readonly log: Log) {}

  away(reason: string): void {
    if (this.awaySince !== null) return;
    this.awaySince = performance.now();
    this.log.warn('server.away', { reason });
  }

  back(): void {
    if (this.awaySince === null) return;
    const awaySeconds = Math.round((performance.now() - this.awaySince) / 1_000);
    this.awaySince = null;
    this.log.info('server.back', { awaySeconds });
  }
}

import type pg from 'pg';

/**
 * Lets a connection break at any instant: who uses it hears of it by the next statement. A pool listens to idle
 * connections alone, and whoever takes one begins to listen a moment later than the end of the server may arrive; what
 * nobody listens to would end the process.
 */
export function surviveBreak(client: pg.ClientBase): void {
  client.on('error', ignore);
}

function ignore(): void {}

import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { ControlPlane } from './control-plane.js';
import { TEST_SERVER_VARIABLE, type TestServer } from './test-database.js';

/** A superuser's connection to an instance's database, to hold locks in its way and to end its sessions. */
export interface SecondSession {
  query<T = Record<string, unknown>>(text: string, values?: unknown[]): Promise<T[]>;
  /** Resolves once `count` other sessions of this database wait for a lock. */
  untilWaiting(count?: number): Promise<void>;
  /** Ends sessions of this database that fulfil an SQL condition over `pg_stat_activity AS a`; resolves once they are gone. */
  terminate(condition: string): Promise<void>;
  /** Ends; its locks are gone with it. */
  end(): Promise<void>;
}

const LOOK_AGAIN_MS = 5;

/** Opens a second session. */
export async function openSecondSession(controlPlane: ControlPlane): Promise<SecondSession> {
  const client = await connected(controlPlane);
  // While the first holds locks in a transaction that may have failed, the watcher must see what is so now.
  const watcher = await connected(controlPlane);
  const rowsOf = async <T>(text: string, values: unknown[] = []) =>
    (await client.query(text, values)).rows as T[];
  return {
    query: rowsOf,
    untilWaiting: async (count = 1) => {
      for (;;) {
        const { rows } = await watcher.query<{ waiting: number }>(
          `SELECT count(*)::int AS waiting FROM pg_stat_activity AS a
            WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'`,
        );
        if ((rows[0]?.waiting ?? 0) >= count) return;
        await sleep(LOOK_AGAIN_MS);
      }
    },
    terminate: async (condition) => {
      const { rows } = await watcher.query<{ pid: number }>(
        `SELECT a.pid, pg_terminate_backend(a.pid) FROM pg_stat_activity AS a
          WHERE a.datname = current_database() AND a.usename = 'fabric_app' AND (${condition})`,
      );
      // Postgres would wait itself, a tenth of a second at a time.
      for (const pids = rows.map(({ pid }) => pid); ; ) {
        const living = await watcher.query('SELECT 1 FROM pg_stat_activity AS a WHERE a.pid = ANY($1)', [
          pids,
        ]);
        if (living.rows.length === 0) return;
      }
    },
    end: async () => {
      await client.end();
      await watcher.end();
    },
  };
}

async function connected({ runtime }: ControlPlane): Promise<pg.Client> {
  const { adminUrl } = JSON.parse(process.env[TEST_SERVER_VARIABLE] ?? '{}') as TestServer;
  const url = new URL(adminUrl);
  url.pathname = new URL(runtime.database.ownerUrl).pathname;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  return client;
}

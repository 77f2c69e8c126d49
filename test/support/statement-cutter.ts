import type { PoolClient } from 'pg';
import { Database } from '../../src/common/database/database.js';
import type { ControlPlane } from './control-plane.js';
import { openSecondSession, type SecondSession } from './second-session.js';

/** What a client throws whose server is gone. */
const BROKEN = 'Connection terminated unexpectedly';

/**
 * Ends the server of a connection after any one statement of a transaction, as the death of the process, of the server or
 * of the network would. Every transaction of an instance that may write goes through here.
 */
export class StatementCutter {
  private left = 0;
  private names: readonly string[] = [];
  /** In which statement it has cut; null: it has not yet. */
  cutAfter: string | null = null;

  private constructor(private readonly session: SecondSession) {}

  /** To be made before the instance has opened connections that are to be cut: it ends those that there are. */
  static async at(plane: ControlPlane): Promise<StatementCutter> {
    const cutter = new StatementCutter(await openSecondSession(plane));
    plane.app.get(Database).pool.on('connect', (client) => cutter.watch(client as unknown as PoolClient));
    await cutter.session.terminate('true');
    return cutter;
  }

  /**
   * @param statements of a transaction after which its connection is cut, the first being the one by which it names
   *   something; 0: never
   * @param names of things: a transaction that names none of them is a bystander
   */
  arm(statements: number, names: readonly string[] = []): void {
    this.left = statements;
    this.names = names;
    this.cutAfter = null;
  }

  close(): Promise<void> {
    return this.session.end();
  }

  private watch(client: PoolClient & { processID?: number }): void {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    let mayWrite = false;
    let isNamed = false;
    // What is sent behind the statement after which it cuts must not reach the server before it has.
    let cutting: Promise<unknown> | null = null;
    const watched = (...args: unknown[]) => {
      if (cutting !== null) return cutting.then(() => query(...args));
      const asked = query(...args);
      if (!(asked instanceof Promise)) return asked;
      const text = textOf(args[0]);
      if (text.startsWith('BEGIN')) [mayWrite, isNamed] = [text === 'BEGIN', false];
      isNamed ||= this.names.some((name) => JSON.stringify(args).includes(name));
      if (!mayWrite || !isNamed) return asked;
      if (text === 'COMMIT' || text === 'ROLLBACK') mayWrite = false;
      if (this.left === 0 || --this.left > 0) return asked;
      const cut = asked.then((result) => this.cut(client.processID ?? 0, text, result));
      cutting = cut.catch(() => undefined);
      return cut;
    };
    client.query = watched as PoolClient['query'];
  }

  /** Whoever waits for the answer of `COMMIT` does not get it, though it was done. */
  private async cut(pid: number, text: string, result: unknown): Promise<unknown> {
    this.cutAfter = text;
    await this.session.terminate(`a.pid = ${pid}`);
    if (text === 'COMMIT') throw new Error(BROKEN);
    return result;
  }
}

function textOf(asked: unknown): string {
  return typeof asked === 'string' ? asked : ((asked as { text?: string } | null)?.text ?? '');
}

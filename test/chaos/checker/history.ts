/** What clients do to the lease of a connection. `revoke` stands for whatever ends it from outside: lost eligibility. */
export type LeaseFunction = 'acquire' | 'renew' | 'release' | 'fence' | 'revoke';

/** What a client asked for. */
export interface LeaseCall {
  /** Who asks, or for whom; absent in a fence. */
  nodeId?: string;
  /** Of a renewal or release; of a fence that hits only this one. */
  token?: number;
}

/** What the service answered. Times are milliseconds of the database's clock. */
export interface LeaseAnswer {
  nodeId?: string;
  token?: number;
  serverTime?: number;
  expiresAt?: number;
  /** Of an acquire: whether it began a new owner period (201) or met its own (200). */
  isNew?: boolean;
  /** Of a fence: the token that it ended, or null; every later token is above `above`. */
  ended?: number | null;
  above?: number;
  /** Of a refusal: the problem's code. */
  code?: string;
}

/**
 * One line of a history in the shape of Jepsen's: an invocation, and later its completion by the same process. `ok`
 * happened, `fail` did not, `info` may have: the answer was lost. The value is the pair of key and value that Jepsen
 * uses for independent keys; here the key is a connection.
 */
export interface ClientEntry {
  index: number;
  type: 'invoke' | 'ok' | 'fail' | 'info';
  process: number;
  f: LeaseFunction;
  value: [connectionId: string, value: LeaseCall | LeaseAnswer];
  /** Nanoseconds of the machine's monotonic clock, which all processes share. */
  time: number;
  error?: string;
}

/** What the nemesis did, as Jepsen writes it: always `info`, since it is nobody's operation. */
export interface NemesisEntry {
  index: number;
  type: 'info';
  process: 'nemesis';
  f: string;
  /** Of a fail-over: what the checker has to know of it. */
  value: FailOver | null;
  time: number;
}

export type HistoryEntry = ClientEntry | NemesisEntry;

/** The database was lost, and a standby that lagged behind took its place. Instants are of the machine's clock. */
export interface FailOver {
  /** What was answered up to here had reached the standby; what came later may be lost. */
  replicatedUntil: number;
  /** From here on the old database does nothing. */
  lostAt: number;
  /** Up to here the new one has done nothing. */
  promotedAt: number;
  /** Of the database's clock, in milliseconds: before this, the new database gives nobody a lease that is not theirs. */
  heldUntil: number;
}

/** An invocation with its completion. */
export interface Operation {
  /** Index of the invocation, by which a violation names it. */
  index: number;
  f: LeaseFunction;
  process: number;
  outcome: 'ok' | 'fail' | 'info';
  call: LeaseCall;
  answer: LeaseAnswer;
  invokedAt: number;
  /** Infinity for one whose answer was lost: it may take effect at any later time. */
  completedAt: number;
}

/** Collects a history while it happens; `now` tells nanoseconds that never go back. */
export class HistoryRecorder {
  readonly entries: HistoryEntry[] = [];

  constructor(private readonly now: () => number = () => Number(process.hrtime.bigint())) {}

  /** Writes down what the nemesis does. */
  note(f: string, value: FailOver | null = null): void {
    this.entries.push({
      index: this.entries.length,
      time: this.now(),
      type: 'info',
      process: 'nemesis',
      f,
      value,
    });
  }

  /** Writes an invocation down and returns how to write its completion. */
  invoke(process: number, f: LeaseFunction, connectionId: string, call: LeaseCall) {
    this.add({ type: 'invoke', process, f, value: [connectionId, call] });
    return (type: 'ok' | 'fail' | 'info', answer: LeaseAnswer, error?: string): void =>
      this.add({
        type,
        process,
        f,
        value: [connectionId, answer],
        ...(error === undefined ? {} : { error }),
      });
  }

  private add(entry: Omit<ClientEntry, 'index' | 'time'>): void {
    this.entries.push({ index: this.entries.length, time: this.now(), ...entry });
  }
}

/**
 * The operations of each connection, in the order of their invocations. An invocation that never completed counts as
 * one whose answer was lost.
 * @throws when the entries are no history: a completion without an invocation, two invocations at a time by one process
 */
export function operationsByConnection(entries: readonly HistoryEntry[]): Map<string, Operation[]> {
  const operations = new Map<string, Operation[]>();
  const open = new Map<number, { operation: Operation; connectionId: string }>();
  for (const entry of entries) {
    if (entry.process === 'nemesis') continue;
    const { index, type, process, f, value, time } = entry;
    const [connectionId, content] = value;
    if (type === 'invoke') {
      if (open.has(process)) throw new Error(`process ${process} invokes twice, at ${index}`);
      const operation: Operation = {
        index,
        f,
        process,
        outcome: 'info',
        call: content as LeaseCall,
        answer: {},
        invokedAt: time,
        completedAt: Number.POSITIVE_INFINITY,
      };
      open.set(process, { operation, connectionId });
      const known = operations.get(connectionId);
      if (known === undefined) operations.set(connectionId, [operation]);
      else known.push(operation);
      continue;
    }
    const begun = open.get(process);
    if (begun === undefined || begun.operation.f !== f || begun.connectionId !== connectionId)
      throw new Error(`entry ${index} completes nothing that process ${process} has begun`);
    open.delete(process);
    begun.operation.outcome = type;
    begun.operation.answer = content as LeaseAnswer;
    if (type !== 'info') begun.operation.completedAt = time;
  }
  return operations;
}

/** The fail-overs of a history, in order. */
export function failOversOf(entries: readonly HistoryEntry[]): FailOver[] {
  return entries.flatMap((entry) =>
    entry.process === 'nemesis' && entry.value !== null ? [entry.value] : [],
  );
}

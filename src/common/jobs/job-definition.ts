/** One kind of work. It carries an id at most: the handler reads what is true now from Postgres. */
export interface JobDefinition {
  /** The queue; a few kinds of work share one. No colon in it. */
  queue: string;
  /** Unique in its queue. */
  name: string;
  /** Also run it with `null` this often, by one worker of all: the sweep that finds what a lost nudge missed. */
  everySeconds?: number;
  /**
   * Takes one idempotent step. It may run twice for one nudge, and at the same time as another run of itself.
   * A throw means: again after a back-off, a few times.
   */
  run(id: string | null): Promise<void>;
  /** How many jobs of its queue one process runs at a time (default 1); the highest of the queue's jobs counts. */
  concurrency?: number;
}

/** The part of a logger that jobs and wake-ups use; pino fits. */
export interface JobLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** How one run of a handler ended. */
export type JobOutcome = 'completed' | 'failed';

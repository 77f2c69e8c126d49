const SEVERITY = { debug: 10, info: 20, warn: 30, error: 40 } as const;

export type LogLevel = keyof typeof SEVERITY;

export function isLogLevel(value: string): value is LogLevel {
  return Object.hasOwn(SEVERITY, value);
}

/** Structured log: one JSON line per event, `{"time","level","event",...}`. Fields never hold secrets. */
export class Log {
  constructor(
    private readonly threshold: LogLevel,
    private readonly write: (line: string) => void = (line) => void process.stdout.write(line),
  ) {}

  debug(event: string, fields: Record<string, unknown> = {}): void {
    this.emit('debug', event, fields);
  }

  info(event: string, fields: Record<string, unknown> = {}): void {
    this.emit('info', event, fields);
  }

  warn(event: string, fields: Record<string, unknown> = {}): void {
    this.emit('warn', event, fields);
  }

  error(event: string, fields: Record<string, unknown> = {}): void {
    this.emit('error', event, fields);
  }

  private emit(level: LogLevel, event: string, fields: Record<string, unknown>): void {
    if (SEVERITY[level] < SEVERITY[this.threshold]) return;
    this.write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`);
  }
}

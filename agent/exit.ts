/** Exit codes of the command; `README.md` explains them to operators, and systemd units refer to them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notAdmitted: 3, refused: 4 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command with one clear line on stderr (the message) and `exitCode`. */
export class AgentFailure extends Error {
  constructor(
    message: string,
    readonly exitCode: ExitCode = EXIT.failed,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'AgentFailure';
  }
}

/** Something is wrong with the command line itself. */
export class UsageError extends AgentFailure {
  constructor(message: string) {
    super(message, EXIT.usage);
    this.name = 'UsageError';
  }
}

/**
 * A reason why the service cannot start that its operator can do something about. The message is one
 * line that names the cause and the remedy; `main` prints it without a stack and exits with 1.
 */
export class StartupError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message.replace(/\s*\n\s*/g, ' '), options);
    this.name = 'StartupError';
  }
}

#!/usr/bin/env node
import { Failure, UsageError } from './publishing/failure.js';

const PROGRAM = 'fabric-release';

const HELP = `${PROGRAM}: signs releases and publishes them

  keygen    make a key that signs releases
  sign      write a manifest and sign it, or add one more signature
  publish   publish a signed release and upload its files
  verify    hold an envelope, and its files, against public keys

"${PROGRAM} <command> --help" explains a command. See docs/releases.md.
`;

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

interface Command {
  run: (args: readonly string[]) => Promise<void>;
  help: string;
}

const COMMANDS: Record<string, () => Promise<Command>> = {
  keygen: () => import('./publishing/keygen.js').then((m) => ({ run: m.keygen, help: m.KEYGEN_HELP })),
  sign: () => import('./publishing/sign.js').then((m) => ({ run: m.signCommand, help: m.SIGN_HELP })),
  publish: () =>
    import('./publishing/publish.js').then((m) => ({ run: m.publishCommand, help: m.PUBLISH_HELP })),
  verify: () => import('./publishing/verify.js').then((m) => ({ run: m.verifyCommand, help: m.VERIFY_HELP })),
};

async function main([name, ...args]: readonly string[]): Promise<void> {
  if (name === undefined || name === '--help' || name === '-h') {
    process.stdout.write(HELP);
    return;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) throw new UsageError(`there is no command "${name}"`);
  const { run, help } = await load();
  if (args.includes('--help') || args.includes('-h')) process.stdout.write(`${help}\n`);
  else await run(args);
}

/** One line for what whoever calls can mend; the stack of anything else. */
function explain(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}. See ${PROGRAM} --help.`;
  if (error instanceof Failure) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== undefined && /^E[A-Z]+$/.test(code)) return message; // a file that cannot be used
  return (error as Error).stack ?? String(error);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${PROGRAM}: ${explain(error)}\n`);
  process.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
});

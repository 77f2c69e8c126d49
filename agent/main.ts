#!/usr/bin/env node
import { ApiRefusal, ServerAway } from './api-errors.js';
import { AgentFailure, EXIT, type ExitCode, UsageError } from './exit.js';
import { AGENT_VERSION } from './version.js';

const HELP = `rap-node-agent ${AGENT_VERSION}: the reference agent of a fabric node

Usage: rap-node-agent <command> [options]

  enroll        ask a control plane to admit this host
  cancel        take the join request back
  run           run the enrolled node
  launch        keep "run" running, and let it be updated
  status        show what this node is and may do now
  rotate-key    give the node a new identity key
  host-proof    vouch for this host where it joins another cluster
  service       run a service that the agent brings along

"rap-node-agent <command> --help" explains a command; --version prints the version.`;

interface Command {
  start: (args: readonly string[]) => Promise<ExitCode>;
  help: string;
}

/** Each is loaded when it is called: what guards a driver or runs a service has no use for certificates. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  enroll: () => import('./commands/enroll.js').then((m) => ({ start: m.enroll, help: m.ENROLL_HELP })),
  cancel: () => import('./commands/cancel.js').then((m) => ({ start: m.cancel, help: m.CANCEL_HELP })),
  run: () => import('./commands/run.js').then((m) => ({ start: m.run, help: m.RUN_HELP })),
  launch: () => import('./commands/launch.js').then((m) => ({ start: m.launch, help: m.LAUNCH_HELP })),
  status: () => import('./commands/status.js').then((m) => ({ start: m.status, help: m.STATUS_HELP })),
  'rotate-key': () =>
    import('./commands/rotate-key.js').then((m) => ({ start: m.rotateKey, help: m.ROTATE_KEY_HELP })),
  'host-proof': () =>
    import('./commands/host-proof.js').then((m) => ({ start: m.hostProof, help: m.HOST_PROOF_HELP })),
  'vpn-guard': () =>
    import('./commands/vpn-guard.js').then((m) => ({ start: m.vpnGuard, help: m.VPN_GUARD_HELP })),
  service: () => import('./commands/service.js').then((m) => ({ start: m.service, help: m.SERVICE_HELP })),
};

/** The command of this name; null when there is none. */
async function commandNamed(name: string | undefined): Promise<Command | null> {
  const load = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return load === undefined ? null : load();
}

async function main([name, ...args]: readonly string[]): Promise<ExitCode> {
  if (name === '--help' || name === '-h' || name === 'help')
    return print((await commandNamed(args[0]))?.help ?? HELP);
  if (name === '--version') return print(AGENT_VERSION);
  const command = await commandNamed(name);
  if (command !== null) return command.start(args);
  const what = name?.startsWith('-') ? `Unknown option '${name}'` : `Unknown command '${name ?? ''}'`;
  throw new UsageError(
    name === undefined ? `a command is missing: ${Object.keys(COMMANDS).join(', ')}` : what,
  );
}

function print(text: string): ExitCode {
  process.stdout.write(`${text}\n`);
  return EXIT.ok;
}

/** One line for what an operator can act on; the stack of anything else is a bug report. */
function explain(error: unknown): string {
  if (error instanceof UsageError) return `${error.message} (see rap-node-agent --help)`;
  if (error instanceof AgentFailure || error instanceof ApiRefusal) return error.message;
  if (error instanceof ServerAway) return `the control plane cannot be reached: ${error.message}`;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== undefined && /^E[A-Z]+$/.test(code)) return message; // a file or folder that cannot be used
  return (error as Error).stack ?? String(error);
}

// Whoever read the log has gone; that is no reason to stop the node.
process.stdout.on('error', () => undefined);

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`rap-node-agent: ${explain(error)}\n`);
  process.exitCode = error instanceof AgentFailure ? error.exitCode : EXIT.failed;
}

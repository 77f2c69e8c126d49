#!/usr/bin/env node
import { ApiRefusal, ServerAway } from './api-errors.js';
import { CANCEL_HELP, cancel } from './commands/cancel.js';
import { ENROLL_HELP, enroll } from './commands/enroll.js';
import { HOST_PROOF_HELP, hostProof } from './commands/host-proof.js';
import { ROTATE_KEY_HELP, rotateKey } from './commands/rotate-key.js';
import { RUN_HELP, run } from './commands/run.js';
import { SERVICE_HELP, service } from './commands/service.js';
import { STATUS_HELP, status } from './commands/status.js';
import { VPN_GUARD_HELP, vpnGuard } from './commands/vpn-guard.js';
import { AgentFailure, EXIT, type ExitCode, UsageError } from './exit.js';
import { AGENT_VERSION } from './version.js';

const HELP = `rap-node-agent ${AGENT_VERSION}: the reference agent of a fabric node

Usage: rap-node-agent <command> [options]

  enroll        ask a control plane to admit this host
  cancel        take the join request back
  run           run the enrolled node
  status        show what this node is and may do now
  rotate-key    give the node a new identity key
  host-proof    vouch for this host where it joins another cluster
  service       run a service that the agent brings along

"rap-node-agent <command> --help" explains a command; --version prints the version.`;

const COMMANDS: Record<string, { start: (args: readonly string[]) => Promise<ExitCode>; help: string }> = {
  enroll: { start: enroll, help: ENROLL_HELP },
  cancel: { start: cancel, help: CANCEL_HELP },
  run: { start: run, help: RUN_HELP },
  status: { start: status, help: STATUS_HELP },
  'rotate-key': { start: rotateKey, help: ROTATE_KEY_HELP },
  'host-proof': { start: hostProof, help: HOST_PROOF_HELP },
  'vpn-guard': { start: vpnGuard, help: VPN_GUARD_HELP },
  service: { start: service, help: SERVICE_HELP },
};

async function main([name, ...args]: readonly string[]): Promise<ExitCode> {
  if (name === '--help' || name === '-h' || name === 'help')
    return print(COMMANDS[args[0] ?? '']?.help ?? HELP);
  if (name === '--version') return print(AGENT_VERSION);
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) return command.start(args);
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

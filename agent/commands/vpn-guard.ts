import { EXIT, type ExitCode } from '../exit.js';
import { guardTunnel } from '../vpn/driver-guard.js';

export const VPN_GUARD_HELP = `Usage: rap-node-agent vpn-guard

Keeps the tunnel of one VPN connection for an agent, which starts it and speaks to it; not for people.`;

/** `rap-node-agent vpn-guard`: takes its order on the standard input and reports on the standard output. */
export async function vpnGuard(args: readonly string[]): Promise<ExitCode> {
  if (args.length > 0) {
    process.stdout.write(`${VPN_GUARD_HELP}\n`);
    return EXIT.ok;
  }
  const told = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => told.abort());
  try {
    await guardTunnel(
      process.stdin,
      (report) => process.stdout.write(`${JSON.stringify(report)}\n`),
      told.signal,
    );
  } finally {
    // Whatever has happened: an agent that waits for its guard has to see it end.
    process.stdin.destroy();
  }
  return EXIT.ok;
}

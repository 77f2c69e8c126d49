import { finishEnrollment, withSession } from '../agent-session.js';
import { COMMON_OPTIONS, notEnrolled, openLog, parseOptions, stateDirectory } from '../command-line.js';
import { EXIT, type ExitCode } from '../exit.js';
import { runNode } from '../node-run.js';
import { StateStore } from '../state-store.js';

export const RUN_HELP = `Usage: rap-node-agent run [options]

Runs the enrolled node: heartbeats, and its snapshot kept current. Waits first for the decision on a join
request that is still open. Ends on SIGTERM and SIGINT (exit 0) or when the identity was ended (exit 4).

  --state-dir <path>    default: RAP_STATE_DIR, else ./rap-node-agent
  --log-level <level>   debug, info, warn, error (default: RAP_LOG_LEVEL, else info)`;

/** `rap-node-agent run`. @throws AgentFailure */
export async function run(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, COMMON_OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${RUN_HELP}\n`);
    return EXIT.ok;
  }
  const directory = stateDirectory(values['state-dir']);
  const log = openLog(values['log-level']);
  if ((await new StateStore(directory).readState()) === null) throw notEnrolled(directory); // makes nothing
  return withSession(directory, log, async (session) => {
    const state = await session.store.readState();
    if (state === null) throw notEnrolled(directory);
    const key = await session.store.readKey(state.keyThumbprint);
    const token = state.enrollment.status === 'requesting' ? state.enrollment.token : null;
    const enrolled = await finishEnrollment(session, state, key, { token, wait: true });
    if (enrolled !== null) await runNode(session, enrolled, key);
    return EXIT.ok;
  });
}

import { clientFor, finishEnrollment, withSession } from '../agent-session.js';
import { COMMON_OPTIONS, notEnrolled, openLog, parseOptions, stateDirectory } from '../command-line.js';
import { Enrollment } from '../enrollment.js';
import { AgentFailure, EXIT, type ExitCode } from '../exit.js';
import { StateStore } from '../state-store.js';

export const CANCEL_HELP = `Usage: rap-node-agent cancel [options]

Takes the join request of this directory back, so that nobody can approve it any more and its use of the join
token is free again. A request that was decided in the meantime stays as it was decided.

  --state-dir <path>    default: RAP_STATE_DIR, else ./rap-node-agent
  --log-level <level>   debug, info, warn, error (default: RAP_LOG_LEVEL, else info)`;

/** `rap-node-agent cancel`. @throws AgentFailure */
export async function cancel(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, COMMON_OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${CANCEL_HELP}\n`);
    return EXIT.ok;
  }
  const directory = stateDirectory(values['state-dir']);
  const log = openLog(values['log-level']);
  if ((await new StateStore(directory).readState()) === null) throw notEnrolled(directory); // makes nothing
  return withSession(directory, log, async (session) => {
    const { store, clock, presence, stop } = session;
    const state = await store.readState();
    if (state === null) throw notEnrolled(directory);
    const { enrollment } = state;
    if (enrollment.status === 'enrolled' || enrollment.status === 'declined')
      throw new AgentFailure(`there is no open join request in ${directory}: it was decided`);
    const key = await store.readKey(state.keyThumbprint);
    // The answer to the request may have been lost: asking once more tells its id, and makes no second one.
    const token = enrollment.status === 'requesting' ? enrollment.token : null;
    const asked = await finishEnrollment(session, state, key, { token, wait: false });
    if (asked === null) throw new AgentFailure('stopped before the request was cancelled');
    const api = clientFor(state, session);
    await new Enrollment(api, store, clock, presence, log, stop.signal).cancel(asked, key);
    return EXIT.ok;
  });
}

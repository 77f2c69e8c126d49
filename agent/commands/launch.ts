import {
  COMMON_OPTIONS,
  openLog,
  parseOptions,
  stateDirectory,
  stopOnSignals,
  wholeNumber,
} from '../command-line.js';
import { EXIT, type ExitCode } from '../exit.js';
import { BootFiles } from '../launcher/boot-files.js';
import { Launcher } from '../launcher/launcher.js';
import { Slots } from '../launcher/slots.js';
import { lockState } from '../state-lock.js';

export const LAUNCH_HELP = `Usage: rap-node-agent launch [options] [-- <options of "run">]

Keeps the agent of this node running ("run"), and lets it be updated: an update goes into one of two slots in the state
directory and is tried; where it does not check in with its control plane, the agent before it comes back. Ends on
SIGTERM and SIGINT (exit 0), or with the agent when starting it again would change nothing (exit 2, 3 or 4).

  --check-in-seconds <seconds>  how long an update may take until its control plane has answered it, 1 to 86400
                                (default: 300)
  --stop-seconds <seconds>      how long an agent may take to end before it is killed, 1 to 3600 (default: 60)
  --state-dir <path>            default: RAP_STATE_DIR, else ./rap-node-agent
  --log-level <level>           debug, info, warn, error (default: RAP_LOG_LEVEL, else info)`;

const OPTIONS = {
  ...COMMON_OPTIONS,
  'check-in-seconds': { type: 'string' },
  'stop-seconds': { type: 'string' },
} as const;

const CHECK_IN_SECONDS = { min: 1, max: 86_400, default: 300 };
const STOP_SECONDS = { min: 1, max: 3_600, default: 60 };
/** A quick new agent must not make the one before it look slow: that starts when the host has just ended another. */
const COMPARE_AT_LEAST_MS = 60_000;
const DELAY_MS = 250;

/** `rap-node-agent launch`. @throws AgentFailure */
export async function launch(args: readonly string[]): Promise<ExitCode> {
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  const values = parseOptions(own, OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${LAUNCH_HELP}\n`);
    return EXIT.ok;
  }
  const checkIn = wholeNumber('--check-in-seconds', values['check-in-seconds'], CHECK_IN_SECONDS);
  const end = wholeNumber('--stop-seconds', values['stop-seconds'], STOP_SECONDS);
  const checkInMs = (checkIn ?? CHECK_IN_SECONDS.default) * 1_000;
  const stopMs = (end ?? STOP_SECONDS.default) * 1_000;
  const directory = stateDirectory(values['state-dir']);
  const log = openLog(values['log-level']);
  const level = values['log-level'] === undefined ? [] : ['--log-level', values['log-level']];
  const ofRun = ['run', '--state-dir', directory, ...level, ...args.slice(own.length + 1)];
  const files = new BootFiles(directory);
  const unlock = await lockState(files.folder);
  const { stop, release } = stopOnSignals(log);
  try {
    const compareMs = Math.max(checkInMs, COMPARE_AT_LEAST_MS);
    const options = { args: ofRun, checkInMs, compareMs, stopMs, delayMs: DELAY_MS };
    return await new Launcher(files, new Slots(files.folder), options, log).run(stop.signal);
  } finally {
    release();
    await unlock();
  }
}

import { finishEnrollment, withSession } from '../agent-session.js';
import { cacheOptions } from '../caches/cache-options.js';
import {
  COMMON_OPTIONS,
  notEnrolled,
  openLog,
  parseOptions,
  stateDirectory,
  wholeNumber,
} from '../command-line.js';
import { EXIT, type ExitCode, UsageError } from '../exit.js';
import { AGENT_PRODUCT, type RunOptions, runNode } from '../node-run.js';
import { StateStore } from '../state-store.js';
import { CERTIFICATE_KEY_TYPES, type CertificateKeyType } from '../trust/certificate-request.js';
import { pinReleaseKeys } from '../updates/release-pins.js';

export const RUN_HELP = `Usage: rap-node-agent run [options]

Runs the enrolled node: heartbeats, its snapshot, certificate and trust kept current, and the workloads that
it wants. Waits first for the decision on a join request that is still open. Ends on SIGTERM and SIGINT (exit
0) or when the identity was ended (exit 4).

  --rotate-key-after <days>           replace the identity key at this age (default: only by "rotate-key")
  --certificate-key <type>            p256 or ed25519 (default: p256)
  --certificate-lifetime <seconds>    ask for certificates that live shorter than the control plane's own day,
                                      10 to 86400
  --cache-listen <host:port>          with the role update-cache: keep files of releases, and serve them to other
                                      members there
  --cache-advertise <host:port>       where those reach it (default: as --cache-listen)
  --cache-max-bytes <bytes>           how much of them is kept (default: 10 GiB)
  --services-dir <path>               what the services of this host are (default: RAP_SERVICES_DIR, else
                                      services in the state directory)
  --agent-product <name>              what releases of the agent are published as (default: rap-node-agent)
  --release-keys <path>               take on the keys whose releases this host runs
  --state-dir <path>                  default: RAP_STATE_DIR, else ./rap-node-agent
  --log-level <level>                 debug, info, warn, error (default: RAP_LOG_LEVEL, else info)`;

const OPTIONS = {
  ...COMMON_OPTIONS,
  'rotate-key-after': { type: 'string' },
  'certificate-key': { type: 'string' },
  'certificate-lifetime': { type: 'string' },
  'services-dir': { type: 'string' },
  'cache-listen': { type: 'string' },
  'cache-advertise': { type: 'string' },
  'cache-max-bytes': { type: 'string' },
  'agent-product': { type: 'string' },
  'release-keys': { type: 'string' },
} as const;

/** The lifetimes that the control plane gives, in seconds. What it would refuse each time is refused once, at the start. */
const CERTIFICATE_LIFETIME = { min: 10, max: 86_400 };
const ROTATE_KEY_AFTER = { min: 1, max: 99_999_999 };

/** `rap-node-agent run`. @throws AgentFailure */
export async function run(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${RUN_HELP}\n`);
    return EXIT.ok;
  }
  const options: RunOptions = {
    certificate: {
      keyType: keyTypeOf(values['certificate-key']),
      lifetimeSeconds: wholeNumber(
        '--certificate-lifetime',
        values['certificate-lifetime'],
        CERTIFICATE_LIFETIME,
      ),
    },
    rotateKeyAfterDays: wholeNumber('--rotate-key-after', values['rotate-key-after'], ROTATE_KEY_AFTER),
    cache: cacheOptions(values),
    agentProduct: values['agent-product'] ?? AGENT_PRODUCT,
    servicesDirectory: values['services-dir'] ?? (process.env.RAP_SERVICES_DIR || null),
  };
  const directory = stateDirectory(values['state-dir']);
  const log = openLog(values['log-level']);
  if ((await new StateStore(directory).readState()) === null) throw notEnrolled(directory); // makes nothing
  const releaseKeys = values['release-keys'];
  return withSession(directory, log, async (session) => {
    if (releaseKeys !== undefined) await pinReleaseKeys(session.store, releaseKeys);
    const state = await session.store.readState();
    if (state === null) throw notEnrolled(directory);
    const key = await session.store.readKey(state.keyThumbprint);
    const token = state.enrollment.status === 'requesting' ? state.enrollment.token : null;
    const enrolled = await finishEnrollment(session, state, key, { token, wait: true });
    if (enrolled !== null) await runNode(session, enrolled, options);
    return EXIT.ok;
  });
}

function keyTypeOf(text = 'p256'): CertificateKeyType {
  const type = CERTIFICATE_KEY_TYPES.find((known) => known === text);
  if (type === undefined) throw new UsageError(`--certificate-key must be p256 or ed25519, not "${text}"`);
  return type;
}

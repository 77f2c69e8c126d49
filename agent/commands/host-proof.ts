import { hostProof as makeProof } from '../assertions.js';
import { COMMON_OPTIONS, isUuid, notEnrolled, parseOptions, stateDirectory } from '../command-line.js';
import { AgentFailure, EXIT, type ExitCode, UsageError } from '../exit.js';
import { ServerClock } from '../server-clock.js';
import { StateStore } from '../state-store.js';

export const HOST_PROOF_HELP = `Usage: rap-node-agent host-proof --join-request <id> --key-thumbprint <thumbprint>

Prints a proof that this host, a member of one cluster already, is the one that asks to join another. Give the
state directory of the membership that it has; id and thumbprint (joinRequestId, nodeFingerprint) are told by
"enroll" and "status" in the state directory of the new one. The proof is good for an hour: whoever approves the
request sends it as hostProof, with the node's id as existingNodeId.

  --join-request <id>             the join request in the other cluster
  --key-thumbprint <thumbprint>   of the key that asks there
  --state-dir <path>              default: RAP_STATE_DIR, else ./rap-node-agent`;

const OPTIONS = {
  ...COMMON_OPTIONS,
  'join-request': { type: 'string' },
  'key-thumbprint': { type: 'string' },
} as const;

const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/** `rap-node-agent host-proof`. Reads the directory only. @throws AgentFailure */
export async function hostProof(args: readonly string[]): Promise<ExitCode> {
  const values = parseOptions(args, OPTIONS);
  if (values.help === true) {
    process.stdout.write(`${HOST_PROOF_HELP}\n`);
    return EXIT.ok;
  }
  const joinRequestId = values['join-request']?.toLowerCase() ?? '';
  const keyThumbprint = values['key-thumbprint'] ?? '';
  if (!isUuid(joinRequestId)) throw new UsageError('--join-request must be the id of a join request');
  if (!THUMBPRINT.test(keyThumbprint))
    throw new UsageError('--key-thumbprint must be an RFC 7638 thumbprint, 43 characters of base64url');
  const store = new StateStore(stateDirectory(values['state-dir']));
  const state = await store.readState();
  if (state === null) throw notEnrolled(store.directory);
  if (state.enrollment.status !== 'enrolled' || state.refused !== null)
    throw new AgentFailure(`${store.directory} holds no membership that could vouch for this host`);
  const key = await store.readKey(state.keyThumbprint);
  const now = new ServerClock(await store.readContact()).now();
  const claims = { joinRequestId, keyThumbprint, audience: state.baseUrl, now };
  process.stdout.write(`${await makeProof(key, claims)}\n`);
  return EXIT.ok;
}

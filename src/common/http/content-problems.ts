import { entry, type ProblemTable } from './problem-entry.js';

/** 422: well-formed, and not to be done as it is asked. */
export const CONTENT_PROBLEMS = {
  invalid_request: entry(
    422,
    'Invalid request',
    'The body is well-formed but a member is missing, unknown or out of range.',
    'See errors for each member.',
  ),
  invalid_transition: entry(
    422,
    'Invalid transition',
    'An update does not go from the state in which it is to the one that was reported, or not without a slot.',
    'Report each state in its turn, and leave service only in the phase granted.',
  ),
  idempotency_key_reused: entry(
    422,
    'Idempotency key reused',
    'The Idempotency-Key was used for a different request.',
    'Use a new key for a new request.',
  ),
  csr_invalid: entry(
    422,
    'Certificate request invalid',
    'The certificate request cannot be read, is not signed by its own key, or its key is of a kind that is not taken or is in use elsewhere.',
    'Make a request over a fresh P-256 or Ed25519 key.',
  ),
  node_not_member: entry(
    422,
    'Node not a member',
    'The node has no live membership in the cluster.',
    'Admit the node first.',
  ),
  node_not_found: entry(
    422,
    'Node not found',
    'There is no such physical node in any cluster.',
    'Find it under /api/v1/nodes.',
  ),
  host_proof_invalid: entry(
    422,
    'Host proof invalid',
    'The proof is not by a key that the node has in another cluster, is not for this request, is too old, or was used before.',
    'Let the host make a new proof; compare serverTime and expectedAudience.',
  ),
  group_not_found: entry(
    422,
    'Group not found',
    'The cluster has no such node group.',
    'Create the group first.',
  ),
  selection_too_large: entry(
    422,
    'Selection too large',
    'The selector selects more nodes than one call takes.',
    'Divide the nodes, for example by group or label.',
  ),
  outside_token_scope: entry(
    422,
    'Outside the scope of the join token',
    'The approval gives more than the scope of the join token allows.',
    'Approve within the scope, or use another token.',
  ),
  permission_not_held: entry(
    422,
    'Permission not held',
    'A token cannot hold more than whoever creates it.',
    'Leave the permission out.',
  ),
  dry_run_unsupported: entry(
    422,
    'Dry run unsupported',
    'This operation cannot be tried without doing it.',
    'Call it without dryRun.',
  ),
} as const satisfies ProblemTable;

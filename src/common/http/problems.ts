/** One kind of problem: its status, and what its page under `/problems/` tells. */
export interface ProblemEntry {
  status: number;
  title: string;
  cause: string;
  remedy: string;
}

const entry = (status: number, title: string, cause: string, remedy: string): ProblemEntry => ({
  status,
  title,
  cause,
  remedy,
});

/** Every problem code that this service answers. A code never changes its meaning. */
export const PROBLEMS = {
  malformed_json: entry(
    400,
    'Malformed JSON',
    'The body is not a JSON document in UTF-8.',
    'Send valid JSON; the detail names the position.',
  ),
  json_too_deep: entry(
    400,
    'JSON too deep',
    'The body nests objects or arrays more than 32 levels deep.',
    'Send a flatter document.',
  ),
  duplicate_key: entry(
    400,
    'Duplicate key',
    'An object in the body has the same member twice.',
    'Send each member once.',
  ),
  invalid_string: entry(
    400,
    'Invalid string',
    'A text holds a NUL character or half of a surrogate pair.',
    'Send well-formed Unicode without NUL.',
  ),
  invalid_number: entry(
    400,
    'Invalid number',
    'A number is too large to be represented.',
    'Send a number within the range of a double.',
  ),
  forbidden_key: entry(
    400,
    'Forbidden key',
    'An object has a member that would reach into the program, such as __proto__.',
    'Leave the member out.',
  ),
  invalid_parameter: entry(
    400,
    'Invalid query parameter',
    'A query parameter is unknown or has a value that it cannot take.',
    'See errors for the parameter and what it takes.',
  ),
  invalid_cursor: entry(
    400,
    'Invalid cursor',
    'The cursor was altered, or belongs to another list or other filters.',
    'Start again without a cursor and keep the filters while paging.',
  ),
  invalid_filter: entry(
    400,
    'Invalid filter',
    'The filter expression cannot be read, or names a field that the list does not have.',
    'See errors for the position.',
  ),
  invalid_header: entry(
    400,
    'Invalid header',
    'A request header has a value that it cannot take.',
    'See the detail.',
  ),
  invalid_etag: entry(
    400,
    'Invalid entity tag',
    'If-Match is neither * nor a list of entity tags in double quotes.',
    'Send the ETag as it was received, quotes included.',
  ),
  malformed_request: entry(400, 'Malformed request', 'The request cannot be read.', 'See the detail.'),
  unauthenticated: entry(
    401,
    'Not authenticated',
    'No valid credential came with the request.',
    'Send Authorization: Bearer with a token that is neither expired nor revoked.',
  ),
  proof_invalid: entry(
    401,
    'Proof of possession invalid',
    'The proof is not signed by the given key, is not for this service, or its time is off.',
    'Compare the clock with serverTime and the audience with expectedAudience.',
  ),
  join_token_invalid: entry(
    401,
    'Join token invalid',
    'The join token is unknown, expired, exhausted, revoked, or does not cover what was asked. The reason is in the audit log.',
    'Ask a platform operator for a new join token.',
  ),
  forbidden: entry(
    403,
    'Not permitted',
    'The credential is valid but does not hold the permission that the operation needs.',
    'Ask for a role that holds it: GET /api/v1/permissions.',
  ),
  high_risk_credential_required: entry(
    403,
    'Credential not made for high-risk work',
    'The operation is high-risk and the token was not created with highRisk.',
    'Create a token with highRisk and an expiry.',
  ),
  token_maker_may_not_approve: entry(
    403,
    'Token maker may not approve',
    'The cluster policy keeps whoever made a join token from approving what was requested with it.',
    'Another operator approves the request.',
  ),
  membership_disabled: entry(
    403,
    'Membership disabled',
    'The membership is disabled: it keeps its identity and gets no new trust.',
    'Enable the membership.',
  ),
  not_found: entry(
    404,
    'Not found',
    'There is no such resource, or the credential may not know of it.',
    'Check the path and the scope of the credential.',
  ),
  method_not_allowed: entry(
    405,
    'Method not allowed',
    'The path exists and does not take this method.',
    'See the Allow header.',
  ),
  not_acceptable: entry(
    406,
    'Not acceptable',
    'The answer has no form that the Accept header allows.',
    'Accept application/json.',
  ),
  request_timeout: entry(
    408,
    'Request timeout',
    'The request did not arrive in time.',
    'Send the whole request without pauses.',
  ),
  conflict: entry(409, 'Conflict', 'The state of the resource forbids it.', 'Read the resource again.'),
  cluster_archived: entry(
    409,
    'Cluster archived',
    'An archived cluster takes no changes.',
    'Work in an active cluster.',
  ),
  cluster_not_empty: entry(
    409,
    'Cluster not empty',
    'The cluster still has members that are not revoked.',
    'Revoke its nodes first.',
  ),
  cluster_not_authoritative: entry(
    409,
    'Cluster not authoritative',
    'The cluster is in an authority state in which nothing that spreads trust may change.',
    'A recovery admin moves it back to authoritative.',
  ),
  authority_term_conflict: entry(
    409,
    'Authority term conflict',
    'The cluster is in another term than expectedTerm: somebody else has moved its authority.',
    'Read the authority again and decide anew.',
  ),
  authority_transition_invalid: entry(
    409,
    'Authority transition invalid',
    'The authority cannot go from its state to that one.',
    'See allowed for the states that it can go to.',
  ),
  slug_taken: entry(
    409,
    'Slug taken',
    'Another cluster has or had this slug; slugs are unique for ever.',
    'Choose another slug.',
  ),
  node_name_taken: entry(
    409,
    'Node name taken',
    'Another member of the cluster has this name.',
    'Choose another name.',
  ),
  node_group_not_empty: entry(
    409,
    'Node group not empty',
    'The group still has nodes or child groups.',
    'Move them first.',
  ),
  group_cycle: entry(
    409,
    'Group cycle',
    'The move would make a group its own ancestor.',
    'Choose another parent.',
  ),
  group_name_taken: entry(
    409,
    'Group name taken',
    'The parent already has a group of this name.',
    'Choose another name.',
  ),
  group_too_deep: entry(
    409,
    'Group too deep',
    'The group, or one below it, would lie deeper than 8 levels.',
    'Choose a parent nearer to the root.',
  ),
  membership_revoked: entry(
    409,
    'Membership revoked',
    'A revoked membership never lives again.',
    'Enroll the host anew, with a new key.',
  ),
  node_already_member: entry(
    409,
    'Node already a member',
    'The physical node has a live membership in this cluster.',
    'Nothing is left to do: one host has one membership in a cluster.',
  ),
  node_revoked: entry(
    409,
    'Node revoked',
    'Every membership of the physical node is revoked.',
    'Approve without existingNodeId: the host becomes a new node.',
  ),
  join_request_decided: entry(
    409,
    'Join request decided',
    'The request was approved, rejected, cancelled or has expired already.',
    'Read the request for its status.',
  ),
  join_request_changed: entry(
    409,
    'Join request changed',
    'The request is not the one that was reviewed: its digest is another.',
    'Review it again.',
  ),
  key_already_enrolled: entry(
    409,
    'Key already enrolled',
    'The key belongs to another node or to another cluster: an identity key belongs to one of each.',
    'Enroll with a new key.',
  ),
  identity_already_rotated: entry(
    409,
    'Identity already rotated',
    'The key that signed the proof was replaced by another key before.',
    'Rotate with the key that is active now.',
  ),
  capability_missing: entry(
    409,
    'Capability missing',
    'The node does not report a capability that the role requires.',
    'Choose another node, or make the host able.',
  ),
  role_already_assigned: entry(
    409,
    'Role already assigned',
    'The node has this role in this scope already.',
    'Use the assignment named by assignmentId.',
  ),
  role_minimum_violated: entry(
    409,
    'Role minimum violated',
    'A role of the cluster would be effective on fewer nodes than its wanted minimum.',
    'Give the role to another node first, lower the minimum, or insist with force and a reason. See roles.',
  ),
  idempotency_in_progress: entry(
    409,
    'Request in progress',
    'The first request with this Idempotency-Key is still running.',
    'Repeat in a moment.',
  ),
  plan_changed: entry(
    409,
    'Plan changed',
    'The effect would now be another than the one that was planned.',
    'Plan again with dryRun=true.',
  ),
  rotation_in_progress: entry(
    409,
    'Rotation in progress',
    'A rotation of this kind is not finished in this cluster.',
    'Finish it first.',
  ),
  rotation_finished: entry(
    409,
    'Rotation finished',
    'The rotation has been through all its phases.',
    'Start another one.',
  ),
  rotation_phase_conflict: entry(
    409,
    'Rotation in another phase',
    'The phase that was asked for is not the next one of the rotation.',
    'Read the rotation for its phase.',
  ),
  bundle_not_acknowledged: entry(
    409,
    'Bundle not acknowledged',
    'Live nodes have not said that they hold what replaces the old key, and would trust nobody without it.',
    'Wait until the rotation names no node, or give an override with its reason.',
  ),
  precondition_failed: entry(
    412,
    'Precondition failed',
    'The resource has changed since it was read.',
    'Read it again and repeat with its ETag.',
  ),
  body_too_large: entry(
    413,
    'Body too large',
    'The body is larger than this route takes.',
    'Send less; most routes take 1 MiB.',
  ),
  unsupported_media_type: entry(
    415,
    'Unsupported media type',
    'The route does not take a body of this type.',
    'Send application/json.',
  ),
  invalid_request: entry(
    422,
    'Invalid request',
    'The body is well-formed but a member is missing, unknown or out of range.',
    'See errors for each member.',
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
  rate_limited: entry(
    429,
    'Too many requests',
    'The limit of requests a minute is reached.',
    'Wait as long as Retry-After says.',
  ),
  headers_too_large: entry(
    431,
    'Headers too large',
    'Path and headers together are larger than 16 KiB.',
    'Send shorter ones.',
  ),
  internal_error: entry(
    500,
    'Internal error',
    'The service has a fault. It is logged under the request id.',
    'Report the request id.',
  ),
  unavailable: entry(
    503,
    'Temporarily unavailable',
    'The service or its database is starting, stopping or overloaded.',
    'Repeat after the time that Retry-After names.',
  ),
} as const satisfies Record<string, ProblemEntry>;

/** A stable, snake_case problem code. */
export type ProblemCode = keyof typeof PROBLEMS;

import { connectionIdIn } from './lease-stock.mjs';

/**
 * What the service asks of Postgres for leases, as scripts of pgbench: the same statements in the same order, without
 * anything around them. They show what the database could do if nobody had to speak HTTP.
 */

/** @param {{ first: number, leases: unknown[] }} stock of held leases; one of them is renewed at a time */
export function renewal({ first, leases }) {
  return `
\\set n random(${first}, ${first + leases.length - 1})
BEGIN;
${BEGUN}
SELECT c.id AS connection FROM vpn_connections AS c WHERE c.id = ${connectionIdIn(':n::int')} AND c.deleted_at IS NULL FOR NO KEY UPDATE \\gset
SELECT l.id AS lease, l.cluster_id AS cluster, l.owner_node_id AS owner, l.status, l.fencing_token AS token, l.acquired_at, l.renewed_at,
       l.expires_at, l.eligible_until, l.renewal_count + 1 AS renewals, c.lease_ttl_seconds AS ttl, c.reserved_node_id, (SELECT fabric_now()) AS now
  FROM vpn_connection_leases AS l JOIN vpn_connections AS c ON c.id = l.connection_id
 WHERE l.connection_id = :connection::uuid AND l.status = 'active' \\gset
UPDATE vpn_connection_leases AS l
   SET renewed_at = :now::timestamptz, expires_at = :now::timestamptz + make_interval(secs => :ttl::int), ttl_seconds = :ttl::int,
       renewal_count = :renewals::int
 WHERE l.id = :lease::uuid;
COMMIT;
`;
}

/** @param {{ first: number }} stock  of free connections, one for each client; @param {string} clusterId */
export function acquireAndRelease({ first }, clusterId) {
  const cluster = `'${clusterId}'::uuid`;
  return `
\\set n ${first} + :client_id
${look(cluster)}
BEGIN;
${BEGUN}
${held(cluster)}
SELECT a.term, a.state, fabric_server_is_known() FROM cluster_authorities AS a WHERE a.cluster_id = ${cluster} FOR SHARE \\gset
SELECT p.heartbeat_seconds, p.capability_policy FROM cluster_policies AS p WHERE p.cluster_id = ${cluster} FOR KEY SHARE;
SELECT m.membership_status, m.capabilities, m.labels, m.facts FROM cluster_memberships AS m
 WHERE m.cluster_id = ${cluster} AND m.node_id = :node::uuid FOR SHARE;
${LOCK}
SELECT r.* FROM node_role_assignments AS r WHERE r.cluster_id = ${cluster} AND r.node_id = :node::uuid ORDER BY r.assigned_at, r.id;
SELECT coalesce((
         SELECT jsonb_agg(jsonb_build_object('nodeId', a.node_id, 'preference', a.preference) ORDER BY a.preference)
           FROM vpn_connection_allowed_nodes AS a
          WHERE a.connection_id = c.id AND (a.preference IS NOT NULL OR a.node_id = :node::uuid)), '[]') AS places,
       f.owner_node_id, f.status, f.ended_at
  FROM vpn_connections AS c
  LEFT JOIN LATERAL (
    SELECT l.owner_node_id, l.status, l.ended_at FROM vpn_connection_leases AS l
     WHERE l.connection_id = c.id AND l.status <> 'active' ORDER BY l.fencing_token DESC LIMIT 1) AS f ON true
 WHERE c.id = :connection::uuid;
${STATE}
UPDATE vpn_connections AS c
   SET last_sequence = c.last_sequence + 1, decided_at = :state_now::timestamptz, reserved_node_id = NULL, reserved_until = NULL
 WHERE c.id = :connection::uuid RETURNING c.last_sequence AS sequence \\gset
INSERT INTO vpn_connection_leases (id, cluster_id, connection_id, owner_node_id, fencing_token, acquired_at, renewed_at, expires_at, ttl_seconds)
VALUES (gen_random_uuid(), ${cluster}, :connection::uuid, :node::uuid, :term::bigint * 4294967296 + :sequence::bigint, :state_now::timestamptz,
        :state_now::timestamptz, :state_now::timestamptz + make_interval(secs => :ttl::int), :ttl::int);
${told('vpn_lease.acquired', cluster)}
COMMIT;
BEGIN;
${BEGUN}
${held(cluster)}
${LOCK}
SELECT a.node_id, a.preference FROM vpn_connection_allowed_nodes AS a
 WHERE a.connection_id = :connection::uuid AND (a.preference IS NOT NULL OR a.node_id = :node::uuid) ORDER BY a.preference;
SELECT l.id AS lease, l.expires_at, l.renewal_count FROM vpn_connection_leases AS l
 WHERE l.connection_id = :connection::uuid AND l.fencing_token = :term::bigint * 4294967296 + :sequence::bigint \\gset
${STATE}
WITH ended AS (
  UPDATE vpn_connection_leases AS l SET status = 'released', ended_at = :state_now::timestamptz, end_reason = 'released' WHERE l.id = :lease::uuid)
UPDATE vpn_connections AS c SET decided_at = :state_now::timestamptz WHERE c.id = :connection::uuid;
${told('vpn_lease.released', cluster)}
COMMIT;
`;
}

const BEGUN = `SELECT greatest(date_trunc('milliseconds', now()), (SELECT c.recorded_at FROM database_clock AS c)) AS begun,
       set_config('lock_timeout', '2000', true), set_config('statement_timeout', '20000', true),
       set_config('idle_in_transaction_session_timeout', '30s', true);`;

const look = (
  cluster,
) => `SELECT c.id AS connection, a.node_id AS node, c.lease_ttl_seconds AS ttl, (SELECT fabric_now()) AS seen, l.id AS active,
       (SELECT o.status FROM vpn_connection_leases AS o WHERE o.connection_id = c.id ORDER BY o.fencing_token DESC LIMIT 1) AS last
  FROM vpn_connections AS c
  JOIN vpn_connection_allowed_nodes AS a ON a.connection_id = c.id
  LEFT JOIN vpn_connection_leases AS l ON l.connection_id = c.id AND l.status = 'active'
 WHERE c.cluster_id = ${cluster} AND c.id = ${connectionIdIn(':n::int')} AND c.deleted_at IS NULL \\gset`;

const held = (cluster) => `SELECT c.status FROM clusters AS c WHERE c.id = ${cluster} FOR KEY SHARE;
SELECT a.state FROM cluster_authorities AS a WHERE a.cluster_id = ${cluster};`;

const LOCK =
  'SELECT c.id FROM vpn_connections AS c WHERE c.id = :connection::uuid AND c.deleted_at IS NULL FOR NO KEY UPDATE;';

const STATE = `SELECT c.organization_id, c.name, c.kind, c.desired_state, c.lease_ttl_seconds, c.last_sequence, c.decided_at, c.enabled_at,
       (SELECT fabric_now()) AS now, l.*
  FROM vpn_connections AS c LEFT JOIN vpn_connection_leases AS l ON l.connection_id = c.id AND l.status = 'active'
 WHERE c.id = :connection::uuid \\gset state_`;

const told = (action, cluster) => `WITH written AS (
  INSERT INTO audit_events (id, occurred_at, actor_type, actor_id, actor_name, actor_ip, actor_user_agent, action, resource_type, resource_id,
         resource_name, cluster_id, outcome, high_risk, request_id, after)
  SELECT gen_random_uuid(), now(), 'node', :node::text, :node::text, '127.0.0.1', 'pgbench', '${action}', 'vpn_connection', :connection::text,
         'tunnel', ${cluster}, 'success', false, gen_random_uuid()::text, jsonb_build_object('ownerNodeId', :node::text, 'fencingToken', :sequence::bigint)
  RETURNING action, resource_type, resource_id, cluster_id, outcome)
INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id)
SELECT w.action, w.resource_type, coalesce(w.resource_id, ''), w.cluster_id FROM written AS w WHERE w.outcome = 'success';`;

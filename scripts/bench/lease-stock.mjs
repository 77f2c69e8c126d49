/** Leases that live through the whole benchmark unless they are renewed by a load that wants them short. */
const LONG_SECONDS = 3_600;
/** Of a lease that is renewed every ten seconds. */
const SHORT_SECONDS = 30;

/**
 * One connection and the node that may hold it.
 * @typedef {object} StockedLease
 * @property {string} token  bearer of the node
 * @property {string} nodeId
 * @property {string} connectionId
 * @property {number} fencingToken  of the lease, where one is active
 */

/**
 * Connections made together.
 * @typedef {object} Stock
 * @property {number} first  number of the first one
 * @property {StockedLease[]} leases
 */

/** Connections and leases, written into the tables since no API would make so many so fast. */
export class LeaseStock {
  #fleet;
  #database;
  #made = 0;

  constructor(stage, fleet) {
    this.#fleet = fleet;
    this.#database = stage.database;
  }

  /** Gives every node the role by which it may hold connections, where it lacks it. */
  async prepare() {
    await this.#database.query(ROLES, [this.#fleet.clusterId]);
  }

  /** Connections that nobody holds. @returns {Promise<Stock>} */
  free(count) {
    return this.#make(count, LONG_SECONDS, false);
  }

  /** Connections with a lease that lasts. @returns {Promise<Stock>} */
  held(count) {
    return this.#make(count, LONG_SECONDS, true);
  }

  /** Connections with a lease that has to be renewed. @returns {Promise<Stock>} */
  heldShortly(count) {
    return this.#make(count, SHORT_SECONDS, true);
  }

  /** Held connections, each with another node that is allowed to have it and never gets it. @returns {Promise<Stock>} */
  async contended(count) {
    const { first, leases } = await this.held(count);
    const nodes = this.#fleet.nodes.filter(({ token }) => token !== '');
    const others = leases.map((lease, at) => {
      const { nodeId, token } = nodes[(at + 1) % nodes.length];
      return { ...lease, nodeId, token };
    });
    await this.#database.query(
      `INSERT INTO vpn_connection_allowed_nodes (cluster_id, connection_id, node_id)
       SELECT $1::uuid, o.connection_id, o.node_id FROM unnest($2::uuid[], $3::uuid[]) AS o (connection_id, node_id)`,
      [
        this.#fleet.clusterId,
        others.map(({ connectionId }) => connectionId),
        others.map(({ nodeId }) => nodeId),
      ],
    );
    return { first, leases: others };
  }

  /** Gives back what is held, so that no sweep finds it over later. */
  async giveBack() {
    await this.#database.query(
      `UPDATE vpn_connection_leases AS l SET status = 'released', ended_at = least(l.expires_at, fabric_now()), end_reason = 'released'
        WHERE l.cluster_id = $1 AND l.status = 'active'`,
      [this.#fleet.clusterId],
    );
  }

  async #make(count, ttlSeconds, isHeld) {
    const { clusterId } = this.#fleet;
    const nodes = this.#fleet.nodes.filter(({ token }) => token !== '');
    const owners = Array.from({ length: count }, (_, at) => nodes[at % nodes.length]);
    const first = this.#made;
    this.#made += count;
    const nodeIds = owners.map(({ nodeId }) => nodeId);
    await this.#database.query(CONNECTIONS, [clusterId, nodeIds, first, ttlSeconds, isHeld ? 1 : 0]);
    if (isHeld) await this.#database.query(LEASES, [clusterId, nodeIds, first, ttlSeconds]);
    await this.#database.query(
      'ANALYZE vpn_connections, vpn_connection_allowed_nodes, vpn_connection_leases',
    );
    const { rows } = await this.#database.query(
      `SELECT a.term::float8 * 4294967296 + 1 AS token FROM cluster_authorities AS a WHERE a.cluster_id = $1`,
      [clusterId],
    );
    const leases = owners.map(({ token, nodeId }, at) => ({
      token,
      nodeId,
      connectionId: connectionIdOf(first + at),
      fencingToken: rows[0].token,
    }));
    return { first, leases };
  }
}

/** Ids by number, so that a script of pgbench knows them without asking. */
function connectionIdOf(number) {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

/** The same in SQL, of an expression that is a number. */
export function connectionIdIn(number) {
  return `('00000000-0000-7000-8000-' || lpad(to_hex(${number}), 12, '0'))::uuid`;
}

const ROLES = `
  INSERT INTO node_role_assignments (id, cluster_id, node_id, role, assigned_by_type, assigned_by_id)
  SELECT gen_random_uuid(), m.cluster_id, m.node_id, 'vpn-exit', 'system', 'bench' FROM cluster_memberships AS m
   WHERE m.cluster_id = $1::uuid
     AND NOT EXISTS (SELECT 1 FROM node_role_assignments AS r
                      WHERE r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.role = 'vpn-exit')`;

const SEED = `
  WITH seed AS (
    SELECT ${connectionIdIn('$3::int + n.place::int - 1')} AS id, n.node_id, $3::int + n.place::int AS number
      FROM unnest($2::uuid[]) WITH ORDINALITY AS n (node_id, place)
  )`;

const CONNECTIONS = `${SEED}, connections AS (
    INSERT INTO vpn_connections (id, cluster_id, name, kind, desired_state, lease_ttl_seconds, last_sequence, enabled_at, created_at, updated_at)
    SELECT s.id, $1::uuid, 'tunnel-' || s.number, 'exit', 'enabled', $4::int, $5::bigint, fabric_now(), fabric_now(), fabric_now()
      FROM seed AS s RETURNING id
  )
  INSERT INTO vpn_connection_allowed_nodes (cluster_id, connection_id, node_id)
  SELECT $1::uuid, s.id, s.node_id FROM seed AS s JOIN connections AS c ON c.id = s.id`;

const LEASES = `${SEED}
  INSERT INTO vpn_connection_leases (id, cluster_id, connection_id, owner_node_id, fencing_token, acquired_at, renewed_at, expires_at, ttl_seconds)
  SELECT gen_random_uuid(), $1::uuid, s.id, s.node_id, a.term * 4294967296 + 1, fabric_now(), fabric_now(),
         fabric_now() + make_interval(secs => $4::int), $4::int
    FROM seed AS s JOIN cluster_authorities AS a ON a.cluster_id = $1::uuid`;

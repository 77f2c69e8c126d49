import type { AssignmentState, Direction } from '../../../src/modules/rollouts/engine/assignment-state.js';
import type { NodeUpdateState } from '../../../src/modules/rollouts/engine/node-update.js';
import type { RolloutState } from '../../../src/modules/rollouts/engine/rollout-state.js';
import type { WaveState } from '../../../src/modules/rollouts/engine/wave-state.js';
import type { ControlPlane } from '../control-plane.js';

/** An assignment as its row stands. */
export interface AssignmentRow {
  state: AssignmentState;
  nodeState: NodeUpdateState;
  epoch: number;
  sequence: number;
  isWrittenOff: boolean;
  wave: number | null;
  place: number;
  fromVersion: string | null;
  toVersion: string;
}

/** What a transaction has written about a rollout, in the order in which it did. */
export type LogRow = { xid: string; at: number; rolloutId: string } & (
  | {
      kind: 'assignment';
      row: {
        id: string;
        nodeId: string;
        direction: Direction;
        before: AssignmentRow | null;
        after: AssignmentRow;
        /** Of the rollout and of the release to which it leads, as the transaction sees them. */
        rolloutState: RolloutState;
        isBlocked: boolean;
      };
    }
  | { kind: 'rollout'; row: { from: RolloutState; to: RolloutState } }
  | { kind: 'wave'; row: { position: number; name: string; from: WaveState; to: WaveState } }
  | {
      kind: 'decision';
      // biome-ignore lint/suspicious/noExplicitAny: inputs have every shape
      row: { rule: string; wave: string | null; from_state: string; to_state: string; inputs: any };
    }
  // biome-ignore lint/suspicious/noExplicitAny: so has what changed
  | { kind: 'audit'; row: { action: string; before: any; after: any } }
  | { kind: 'begun'; row: { kind: 'staged' | 'pin' | 'emergency'; clusterId: string; target: string } }
);

/** What it has written about the pin of a node, or about an emergency pin: of no rollout. */
export type PinRow = { xid: string; at: number; rolloutId: null } & (
  | { kind: 'pin'; row: { before: NodePinRow | null; after: NodePinRow | null } }
  | { kind: 'emergency'; row: { before: EmergencyRow | null; after: EmergencyRow } }
  | { kind: 'block'; row: { productId: string; version: string; isBlocked: boolean } }
  | { kind: 'pin_audit'; row: { action: string; outcome: string } }
);
export interface NodePinRow {
  cluster_id: string;
  node_id: string;
  version: string;
  expires_at: string | null;
  leads_later: boolean;
}
export interface EmergencyRow {
  id: string;
  cluster_id: string;
  activated_at: string | null;
  ended_at: string | null;
  ended_because: string | null;
}

const WATCH = `
  CREATE TABLE rollout_log (n bigserial PRIMARY KEY, xid text NOT NULL, kind text NOT NULL, rollout_id uuid, at timestamptz NOT NULL, row jsonb NOT NULL);
  CREATE FUNCTION rollout_assignment_row(a rollout_assignments) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('state', a.state, 'nodeState', a.node_state, 'epoch', a.epoch, 'sequence', a.sequence,
                              'isWrittenOff', a.is_written_off, 'wave', a.wave_position, 'place', a.place,
                              'fromVersion', a.from_version, 'toVersion', a.to_version)
  $$;
  CREATE FUNCTION watch_rollouts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
  DECLARE
    kind text; id uuid; told jsonb;
  BEGIN
    IF TG_TABLE_NAME = 'rollout_assignments' THEN
      kind := 'assignment'; id := NEW.rollout_id;
      told := jsonb_build_object('id', NEW.id, 'nodeId', NEW.node_id, 'direction', NEW.direction,
        'before', CASE WHEN TG_OP = 'UPDATE' THEN rollout_assignment_row(OLD) END, 'after', rollout_assignment_row(NEW),
        'rolloutState', (SELECT r.state FROM rollouts AS r WHERE r.id = NEW.rollout_id),
        'isBlocked', (SELECT e.blocked_at IS NOT NULL FROM releases AS e WHERE e.id = NEW.to_release_id));
    ELSIF TG_TABLE_NAME = 'version_pins' THEN
      kind := 'pin'; told := jsonb_build_object('before', CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
                                                'after', CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    ELSIF TG_TABLE_NAME = 'emergency_pins' THEN
      kind := 'emergency'; told := jsonb_build_object('before', CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, 'after', to_jsonb(NEW));
    ELSIF TG_TABLE_NAME = 'releases' THEN
      kind := 'block';
      told := jsonb_build_object('productId', NEW.product_id, 'version', NEW.version, 'isBlocked', NEW.blocked_at IS NOT NULL);
    ELSIF TG_TABLE_NAME = 'rollouts' AND TG_OP = 'INSERT' THEN
      kind := 'begun'; id := NEW.id;
      told := jsonb_build_object('kind', NEW.kind, 'clusterId', NEW.cluster_id, 'target', NEW.target_version);
    ELSIF TG_TABLE_NAME = 'rollouts' THEN
      kind := 'rollout'; id := NEW.id; told := jsonb_build_object('from', OLD.state, 'to', NEW.state);
    ELSIF TG_TABLE_NAME = 'rollout_waves' THEN
      kind := 'wave'; id := NEW.rollout_id;
      told := jsonb_build_object('position', NEW.position, 'name', NEW.name, 'from', OLD.state, 'to', NEW.state);
    ELSIF TG_TABLE_NAME = 'rollout_decisions' THEN
      kind := 'decision'; id := NEW.rollout_id; told := to_jsonb(NEW);
    ELSIF NEW.resource_type <> 'rollout' THEN
      kind := 'pin_audit'; told := to_jsonb(NEW);
    ELSE
      kind := 'audit'; id := NEW.resource_id::uuid; told := to_jsonb(NEW);
    END IF;
    INSERT INTO rollout_log (xid, kind, rollout_id, at, row) VALUES (pg_current_xact_id()::text, kind, id, fabric_now(), told);
    RETURN NULL;
  END $$;
  CREATE TRIGGER watched AFTER INSERT OR UPDATE ON rollout_assignments FOR EACH ROW EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER begun AFTER INSERT ON rollouts FOR EACH ROW EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER INSERT OR UPDATE OR DELETE ON version_pins FOR EACH ROW EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER UPDATE ON releases FOR EACH ROW
    WHEN ((OLD.blocked_at IS NULL) <> (NEW.blocked_at IS NULL)) EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER INSERT OR UPDATE ON emergency_pins FOR EACH ROW EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER UPDATE ON rollouts FOR EACH ROW
    WHEN ((OLD.state, OLD.paused_by_decision_id) IS DISTINCT FROM (NEW.state, NEW.paused_by_decision_id)) EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER UPDATE ON rollout_waves FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER INSERT ON rollout_decisions FOR EACH ROW EXECUTE FUNCTION watch_rollouts();
  CREATE TRIGGER watched AFTER INSERT ON audit_events FOR EACH ROW WHEN (NEW.resource_type IN ('rollout', 'version_pin', 'emergency_pin')) EXECUTE FUNCTION watch_rollouts();`;

/** Every change of a rollout, written down by triggers that the test puts into its database, whatever the service says. */
export class RolloutLog {
  private read = 0;

  private constructor(private readonly database: ControlPlane['database']) {}

  static async watch({ database }: Pick<ControlPlane, 'database'>): Promise<RolloutLog> {
    await database.query(WATCH);
    return new RolloutLog(database);
  }

  /** What was committed since the last look. Whoever looks has waited for all that it has begun. */
  async next(): Promise<(LogRow | PinRow)[]> {
    const rows = await this.database.query<(LogRow | PinRow) & { n: string }>(
      `SELECT l.n, l.xid, l.kind, l.rollout_id AS "rolloutId", (extract(epoch FROM l.at) * 1000)::float8 AS at, l.row
         FROM rollout_log AS l WHERE l.n > $1 ORDER BY l.n`,
      [this.read],
    );
    this.read = Number(rows.at(-1)?.n ?? this.read);
    return rows;
  }
}

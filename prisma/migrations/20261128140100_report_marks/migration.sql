-- The marks of taken-in reports get a table of their own: who takes in reports locks it, and never a row that
-- heartbeats write, nor does a node need to have sent a heartbeat.
CREATE TABLE node_report_marks (
  cluster_id  uuid NOT NULL,
  node_id     uuid NOT NULL,
  -- A digest of what the last heartbeat said and was taken in; null for "look again".
  mark        bigint,
  PRIMARY KEY (cluster_id, node_id),
  FOREIGN KEY (cluster_id, node_id) REFERENCES cluster_memberships (cluster_id, node_id)
);
ALTER TABLE node_liveness DROP COLUMN report_mark;

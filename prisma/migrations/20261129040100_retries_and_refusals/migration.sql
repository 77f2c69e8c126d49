-- How often a node that fails to prepare may try again, and what it reported that could not be.

ALTER TABLE rollout_assignments
  ADD COLUMN retries_left integer NOT NULL DEFAULT 0 CONSTRAINT rollout_assignments_retries_left CHECK (retries_left >= 0),
  -- Reports that were refused as impossible, and when one of them was last written into the audit log.
  ADD COLUMN refused_reports integer NOT NULL DEFAULT 0
    CONSTRAINT rollout_assignments_refused_reports CHECK (refused_reports >= 0),
  ADD COLUMN refusal_recorded_at timestamptz(3);

-- The version from which the next step of a way leads: that which the node had when it was planned, then the stop that it has
-- reached. Whoever is elsewhere by then is not offered the step.
ALTER TABLE rollout_assignments ADD COLUMN step_from text;
UPDATE rollout_assignments SET step_from = from_version;

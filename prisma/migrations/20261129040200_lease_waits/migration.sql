-- A node that may go out of service first hands its VPN leases over: until when it waits for that at most; null: it has
-- none that anybody has looked at.
ALTER TABLE rollout_assignments ADD COLUMN lease_wait_until timestamptz(3);
CREATE INDEX rollout_assignments_waiting ON rollout_assignments (rollout_id)
  WHERE state = 'offered' AND lease_wait_until IS NOT NULL;

-- Found by every sweep, among all rollouts that ever were.
CREATE INDEX rollouts_waiting_for_approval ON rollouts (id) WHERE state = 'pending_approval';

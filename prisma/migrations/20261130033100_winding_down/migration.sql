-- A rollout that is over, and of which something may still be to be done: what a cancellation takes back, or nodes that are
-- still to be led away from a blocked version. The sweep looks for these, and not at all that ever was.
ALTER TABLE rollouts ADD COLUMN is_winding_down boolean NOT NULL DEFAULT false;
UPDATE rollouts AS r SET is_winding_down = true
 WHERE r.state IN ('succeeded', 'succeeded_with_deferred', 'cancelled') AND EXISTS (
       SELECT 1 FROM rollout_counts AS c WHERE c.rollout_id = r.id AND c.nodes > 0
          AND ((c.direction = 'back' AND c.state IN ('planned', 'offered', 'granted', 'applying', 'health', 'lost'))
               OR (r.state = 'cancelled' AND c.direction = 'forward' AND c.state IN ('planned', 'offered', 'deferred'))));
CREATE INDEX rollouts_winding_down ON rollouts (id) WHERE is_winding_down;

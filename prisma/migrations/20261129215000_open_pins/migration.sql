-- Few rollouts of pins are unfinished: a wave that opens asks for these, and not for all that pins have ever done.
CREATE INDEX rollouts_of_open_pins ON rollouts (cluster_id, product_id) WHERE kind = 'pin' AND finished_at IS NULL;

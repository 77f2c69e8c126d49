-- Up to whom a rollout has looked for nodes that can be offered their way, where those in front cannot. null: it looks behind
-- those in front next.
ALTER TABLE rollouts
  ADD COLUMN looked_wave integer,
  ADD COLUMN looked_place integer,
  ADD CONSTRAINT rollouts_looked_to CHECK ((looked_wave IS NULL) = (looked_place IS NULL));

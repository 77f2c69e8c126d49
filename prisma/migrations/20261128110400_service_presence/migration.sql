-- Since when nodes have been able to reach some instance: the silence of a node counts only while somebody listened.
CREATE TABLE service_presence (
  singleton      boolean PRIMARY KEY DEFAULT true CONSTRAINT service_presence_is_one_row CHECK (singleton),
  -- Advanced every few seconds by whichever instance listens; a gap before it means that none did.
  present_at     timestamptz(3) NOT NULL,
  present_since  timestamptz(3) NOT NULL,
  CONSTRAINT service_presence_order CHECK (present_since <= present_at)
) WITH (fillfactor = 10);
-- One reading for both: between two the clock may pass on to the next millisecond, and the order would be wrong.
INSERT INTO service_presence (present_at, present_since)
SELECT t.moment, t.moment FROM (SELECT fabric_now() AS moment) AS t;

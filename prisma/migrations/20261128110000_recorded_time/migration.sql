-- The highest time that this database's clock is known to have shown, so that a clock that steps back revives nothing.

-- One row, advanced about once a second by whichever instance finds it due. Fixed-width and without an index on what
-- changes, in a page with room, so that each advance is a HOT update and the table stays one page.
CREATE TABLE database_clock (
  singleton    boolean PRIMARY KEY DEFAULT true CONSTRAINT database_clock_is_one_row CHECK (singleton),
  recorded_at  timestamptz(3) NOT NULL
) WITH (fillfactor = 10);
INSERT INTO database_clock (recorded_at) VALUES (date_trunc('milliseconds', clock_timestamp()));

-- The time by which anything is decided: the clock's, or the recorded one while the clock is behind it. Volatile, so
-- that a statement that waited for a lock sees the newest record; called after the lock, in a statement of its own.
CREATE FUNCTION fabric_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT date_trunc('milliseconds', greatest(clock_timestamp(), (SELECT c.recorded_at FROM database_clock AS c)))
$$;

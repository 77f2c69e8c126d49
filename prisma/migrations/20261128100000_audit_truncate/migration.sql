-- The audit log is not emptied either. Unlike a trigger for rows, one for statements is not handed on to partitions, so
-- that each partition gets its own when it is made.

CREATE TRIGGER audit_events_never_emptied BEFORE TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history();

DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits AS i WHERE i.inhparent = 'audit_events'::regclass LOOP
    EXECUTE format('CREATE TRIGGER audit_events_never_emptied BEFORE TRUNCATE ON %s
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()', part);
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION ensure_audit_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  month_start timestamptz;
  partition text;
  made integer := 0;
BEGIN
  FOR ahead IN 0..months_ahead LOOP
    month_start := date_trunc('month', (now() AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC';
    partition := 'audit_events_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
    IF to_regclass(format('%I', partition)) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE TABLE %I PARTITION OF audit_events FOR VALUES FROM (%L) TO (%L)', partition,
          month_start, ((month_start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TRIGGER audit_events_never_emptied BEFORE TRUNCATE ON %I
          FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()', partition);
        made := made + 1;
      EXCEPTION WHEN check_violation THEN
        -- The DEFAULT partition holds events of that month already; they stay there, and lose nothing but speed.
        NULL;
      END;
    END IF;
  END LOOP;
  RETURN made;
END $$;

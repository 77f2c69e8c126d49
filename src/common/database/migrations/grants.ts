import pg from 'pg';

/** Tables that the service may add to and read, and never rewrite. */
const APPEND_ONLY_TABLES = ['audit_events'] as const;

/**
 * The statements that give the service's role what it needs and nothing beyond: no schema changes, and history is
 * append-only. None when service and owner are the same role, since grants do not bind an owner.
 */
export function grantsFor(appRole: string, ownerRole: string): string[] {
  if (appRole === ownerRole) return [];
  const role = pg.escapeIdentifier(appRole);
  return [
    `GRANT USAGE ON SCHEMA public TO ${role}`,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role}`,
    `GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ${role}`,
    // Writing goes through the parent table alone; its partitions are closed.
    `DO $$ DECLARE part regclass; BEGIN
       FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_events'::regclass LOOP
         EXECUTE format('REVOKE ALL ON %s FROM %I', part, ${pg.escapeLiteral(appRole)});
       END LOOP; END $$`,
    ...APPEND_ONLY_TABLES.map((table) => `REVOKE UPDATE, DELETE, TRUNCATE ON ${table} FROM ${role}`),
    `REVOKE ALL ON _prisma_migrations FROM ${role}`,
    `GRANT SELECT ON _prisma_migrations TO ${role}`,
    `REVOKE EXECUTE ON FUNCTION ensure_audit_partitions(integer) FROM PUBLIC`,
    // The queue's own tables belong to the service, which migrates them through BullMQ.
    `GRANT USAGE, CREATE ON SCHEMA bullmq TO ${role}`,
  ];
}

import type { Client } from 'pg';

/** The role that owns the database, migrates it, and runs nothing. */
export const OWNER_ROLE = 'fabric_owner';
/** The role that the service runs as; it owns nothing, so grants and triggers bind it. */
export const APP_ROLE = 'fabric_app';

/** Makes the two roles when they are missing and gives them these passwords. Repeatable. */
export async function createFabricRoles(
  superuser: Client,
  passwords: { owner: string; app: string },
): Promise<void> {
  // Otherwise a failing statement would be logged with the password in it.
  await superuser.query("SET log_min_error_statement = 'panic'");
  for (const [role, password] of [
    [OWNER_ROLE, passwords.owner],
    [APP_ROLE, passwords.app],
  ] as const) {
    const found = await superuser.query('SELECT FROM pg_roles AS r WHERE r.rolname = $1', [role]);
    if (found.rowCount === 0) await superuser.query(`CREATE ROLE ${role}`);
    const secret = superuser.escapeLiteral(password);
    await superuser.query(
      `ALTER ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD ${secret}`,
    );
  }
}

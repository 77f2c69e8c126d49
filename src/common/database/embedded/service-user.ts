import { existsSync } from 'node:fs';
import { runCommand, type SystemUser } from './run-command.js';
import { StartupError } from './startup-error.js';

const OWN_NAME = 'fabric-postgres';

/**
 * The system user as whom Postgres runs when this process is root, which Postgres itself refuses to be:
 * `postgres` when there is one, else `fabric-postgres`, made when missing.
 * @throws StartupError when there is none and none can be made
 */
export async function ensureServiceUser(log: (line: string) => void): Promise<SystemUser> {
  const existing = (await findUser('postgres')) ?? (await findUser(OWN_NAME));
  if (existing !== null) return existing;
  const reasons: string[] = [];
  for (const [command, ...args] of makers()) {
    const made = await runCommand(command, args, null);
    const user = made.ok ? await findUser(OWN_NAME) : null;
    if (user !== null) {
      log(`Postgres does not run as root: made the system user ${OWN_NAME} for it.`);
      return user;
    }
    reasons.push(made.output);
  }
  throw new StartupError(
    `The embedded Postgres cannot run as root and no system user could be made for it (${reasons.join('; ')}): ` +
      'start the service as an ordinary user, or set DATABASE_URL.',
  );
}

/** Shadow's useradd is everywhere but on BusyBox, which has an adduser with other flags. */
function makers(): [string, ...string[]][] {
  const shell = ['/usr/sbin/nologin', '/sbin/nologin'].find((path) => existsSync(path)) ?? '/bin/false';
  return [
    [
      'useradd',
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/',
      '--shell',
      shell,
      OWN_NAME,
    ],
    ['adduser', '-S', '-D', '-H', '-h', '/', '-s', shell, OWN_NAME],
  ];
}

async function findUser(name: string): Promise<SystemUser | null> {
  const [uid, gid] = await Promise.all([
    runCommand('id', ['-u', name], null),
    runCommand('id', ['-g', name], null),
  ]);
  if (!uid.ok || !gid.ok) return null;
  return { name, uid: Number.parseInt(uid.output, 10), gid: Number.parseInt(gid.output, 10) };
}

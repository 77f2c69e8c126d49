import { join } from 'node:path';
import { writeFileDurably } from './durable-file.js';

/** `none` is for throw-away databases of tests: a crash of the machine loses them. */
export type Durability = 'full' | 'none';

const COMMON = {
  listen_addresses: '127.0.0.1',
  // Paths of sockets may have 107 bytes only, which a data directory easily exceeds.
  unix_socket_directories: '',
  password_encryption: 'scram-sha-256',
  shared_buffers: '256MB',
  max_wal_size: '1GB',
  // Our queries are short; compiling them costs more than it saves.
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // One file for each day of the week, overwritten after a week.
  logging_collector: 'on',
  log_directory: 'log',
  log_filename: 'postgres-%a.log',
  log_truncate_on_rotation: 'on',
  log_rotation_age: '1d',
  log_rotation_size: '0',
};

const BY_DURABILITY: Record<Durability, Record<string, string>> = {
  full: { max_connections: '200', fsync: 'on' },
  none: {
    // Each test worker brings pools of its own.
    max_connections: '500',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_wal_size: '256MB',
    wal_level: 'minimal',
    max_wal_senders: '0',
  },
};

/** Writes `postgresql.conf`, at each start, so that a new version's settings apply to old databases. */
export function writePostgresSettings(
  directory: string,
  options: { port: number; durability: Durability },
): Promise<void> {
  const settings = { ...COMMON, ...BY_DURABILITY[options.durability], port: String(options.port) };
  const lines = [
    '# Written by the service at each start. Settings of your own go into local.conf, which wins.',
    ...Object.entries(settings).map(([name, value]) => `${name} = '${value}'`),
    "include_if_exists = 'local.conf'",
  ];
  return writeFileDurably(join(directory, 'postgresql.conf'), `${lines.join('\n')}\n`);
}

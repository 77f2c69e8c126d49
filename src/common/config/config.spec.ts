import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigError, loadConfig } from './config.js';

const key = randomBytes(32).toString('base64url');
const database = { DATABASE_URL: 'postgres://app:p@db/fabric', FABRIC_MASTER_KEY: key };

/** The variables that were told to be wrong, a line each. */
function wrong(env: Record<string, string | undefined>): string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.lines.map((line) => line.split(' ')[0] ?? '');
  }
  return [];
}

describe('the configuration', () => {
  it('has a default for everything', () => {
    expect(loadConfig({})).toEqual({
      role: 'all',
      snapshotKeptDays: 30,
      artifacts: { store: { kind: 'directory', path: 'data/artifacts' }, maxBytes: 2_147_483_648 },
      host: '127.0.0.1',
      port: 8080,
      listens: true,
      dataDir: './data',
      logLevel: 'info',
      database: null,
      redisUrl: null,
      publicUrl: null,
      publicUrlAliases: [],
      bootstrapToken: null,
      masterKey: null,
      masterKeyPrevious: [],
      limits: { unknownCredentialsPerMinute: 60, principalPerMinute: 600, nodePerMinute: 240 },
      trustedProxies: [],
      tracing: null,
    });
  });

  it('takes an empty variable for one that is not set', () => {
    const names = [
      'PORT',
      'HOST',
      'DATABASE_URL',
      'REDIS_URL',
      'FABRIC_MASTER_KEY',
      'FABRIC_ROLE',
      'LOG_LEVEL',
      'FABRIC_PUBLIC_URL_ALIASES',
    ];
    expect(loadConfig(Object.fromEntries(names.map((name) => [name, ''])))).toEqual(loadConfig({}));
  });

  it('uses one database for all unless told', () => {
    expect(loadConfig(database).database).toEqual({
      appUrl: database.DATABASE_URL,
      directUrl: database.DATABASE_URL,
      ownerUrl: database.DATABASE_URL,
    });
    const more = {
      FABRIC_DATABASE_DIRECT_URL: 'postgresql://d/f',
      FABRIC_DATABASE_OWNER_URL: 'postgres://o/f',
    };
    expect(loadConfig({ ...database, ...more }).database).toEqual({
      appUrl: database.DATABASE_URL,
      directUrl: 'postgresql://d/f',
      ownerUrl: 'postgres://o/f',
    });
  });

  it('listens as a worker only when a port is named', () => {
    expect(loadConfig({ FABRIC_ROLE: 'worker' }).listens).toBe(false);
    expect(loadConfig({ FABRIC_ROLE: 'worker', PORT: '9000' })).toMatchObject({ listens: true, port: 9000 });
    expect(loadConfig({ FABRIC_ROLE: 'api' }).listens).toBe(true);
  });

  it('reads lists with commas, and URLs without their trailing slashes', () => {
    const config = loadConfig({
      FABRIC_PUBLIC_URL: 'https://fabric.example//',
      FABRIC_PUBLIC_URL_ALIASES: ' https://a.example/ ,http://b.example,, ',
      FABRIC_MASTER_KEY_PREVIOUS: `${key},${key}`,
      FABRIC_TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.1,2001:db8::/32,::1',
    });
    expect(config.publicUrl).toBe('https://fabric.example');
    expect(config.publicUrlAliases).toEqual(['https://a.example', 'http://b.example']);
    expect(config.masterKeyPrevious).toEqual([key, key]);
    expect(config.trustedProxies).toEqual(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', '::1']);
  });

  it.each<[string, Record<string, string>, string[]]>([
    ['a port that is no number', { PORT: 'http' }, ['PORT']],
    ['a port that is too large', { PORT: '65536' }, ['PORT']],
    ['a negative port', { PORT: '-1' }, ['PORT']],
    ['an unknown role', { FABRIC_ROLE: 'master' }, ['FABRIC_ROLE']],
    ['an unknown log level', { LOG_LEVEL: 'loud' }, ['LOG_LEVEL']],
    ['another database', { ...database, DATABASE_URL: 'mysql://x/y' }, ['DATABASE_URL']],
    ['a database without a key', { DATABASE_URL: database.DATABASE_URL }, ['FABRIC_MASTER_KEY']],
    ['a key that is too short', { FABRIC_MASTER_KEY: key.slice(1) }, ['FABRIC_MASTER_KEY']],
    ['a key in plain base64', { FABRIC_MASTER_KEY: `${'+'.repeat(43)}=` }, ['FABRIC_MASTER_KEY']],
    [
      'an earlier key that is none',
      { FABRIC_MASTER_KEY_PREVIOUS: `${key},x,y` },
      ['FABRIC_MASTER_KEY_PREVIOUS'],
    ],
    [
      'an owner of no database',
      { FABRIC_DATABASE_OWNER_URL: 'postgres://o/f' },
      ['FABRIC_DATABASE_OWNER_URL'],
    ],
    [
      'a direct URL of no database',
      { FABRIC_DATABASE_DIRECT_URL: 'postgres://o/f' },
      ['FABRIC_DATABASE_DIRECT_URL'],
    ],
    ['every address without a public URL', { HOST: '0.0.0.0' }, ['FABRIC_PUBLIC_URL']],
    ['every IPv6 address without a public URL', { HOST: '::' }, ['FABRIC_PUBLIC_URL']],
    ['a token that can be guessed', { FABRIC_BOOTSTRAP_TOKEN: 'x'.repeat(31) }, ['FABRIC_BOOTSTRAP_TOKEN']],
    ['several bad aliases', { FABRIC_PUBLIC_URL_ALIASES: 'a,b,c' }, ['FABRIC_PUBLIC_URL_ALIASES']],
    ['a proxy that is no address', { FABRIC_TRUSTED_PROXIES: 'proxy.example' }, ['FABRIC_TRUSTED_PROXIES']],
    ['a range that is too long', { FABRIC_TRUSTED_PROXIES: '10.0.0.0/33' }, ['FABRIC_TRUSTED_PROXIES']],
    ['a range twice', { FABRIC_TRUSTED_PROXIES: '10.0.0.0/8/8' }, ['FABRIC_TRUSTED_PROXIES']],
    ['no limit', { FABRIC_LIMIT_PRINCIPAL_PER_MINUTE: '0' }, ['FABRIC_LIMIT_PRINCIPAL_PER_MINUTE']],
    ['another queue', { REDIS_URL: 'http://redis' }, ['REDIS_URL']],
  ])('refuses %s', (_, env, names) => expect(wrong(env)).toEqual(names));

  it('tells of every wrong variable at once, those that are missing included', () => {
    const env = {
      PORT: 'x',
      HOST: '0.0.0.0',
      DATABASE_URL: 'postgres://a/b',
      FABRIC_ROLE: 'y',
      REDIS_URL: 'z',
    };
    expect(wrong(env).sort()).toEqual([
      'FABRIC_MASTER_KEY',
      'FABRIC_PUBLIC_URL',
      'FABRIC_ROLE',
      'PORT',
      'REDIS_URL',
    ]);
  });

  it('never quotes what it was given, which may be a secret', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          'DATABASE_URL',
          'FABRIC_MASTER_KEY',
          'FABRIC_MASTER_KEY_PREVIOUS',
          'FABRIC_BOOTSTRAP_TOKEN',
          'REDIS_URL',
        ),
        fc.stringMatching(/^secret-[a-z]{8,20}$/),
        (name, secret) => {
          try {
            loadConfig({ [name]: secret });
          } catch (error) {
            expect(String((error as Error).message)).not.toContain(secret);
          }
        },
      ),
    );
  });

  it('can be switched off for the bootstrap token', () => {
    expect(loadConfig({ FABRIC_BOOTSTRAP_TOKEN: 'disabled' }).bootstrapToken).toBe('disabled');
  });
});

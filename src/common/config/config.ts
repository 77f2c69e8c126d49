import { isIP } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { TRACING_VARIABLES, type TracingConfig, tracingConfig, tracingFaults } from './tracing-config.js';

/** What this process does: serve HTTP, run background jobs, or both. */
export type FabricRole = 'all' | 'api' | 'worker';

/** The settings of one process, read once from the environment and never changed. */
export interface Config {
  readonly role: FabricRole;
  readonly host: string;
  readonly port: number;
  /** False for a worker without `PORT`: it serves nothing. */
  readonly listens: boolean;
  readonly dataDir: string;
  readonly logLevel: string;
  /** null: the embedded Postgres in the data directory. */
  readonly database: DatabaseUrls | null;
  readonly redisUrl: string | null;
  readonly publicUrl: string | null;
  readonly publicUrlAliases: readonly string[];
  /** null: a token is generated into the data directory; `disabled`: there is none. */
  readonly bootstrapToken: string | null;
  /** base64url of 32 bytes; null only with the embedded database, where it is generated. */
  readonly masterKey: string | null;
  readonly masterKeyPrevious: readonly string[];
  readonly limits: RateLimits;
  /** For how many days what a node was given can be read back. */
  readonly snapshotKeptDays: number;
  /** Where the files of releases are kept. */
  readonly artifacts: ArtifactSettings;
  /** Address ranges of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  /** null: no tracing, and none of its code is loaded. */
  readonly tracing: TracingConfig | null;
}

/** Where the files of releases are kept, and how large one may be. */
export interface ArtifactSettings {
  readonly store: ArtifactPlace;
  readonly maxBytes: number;
}

/** A directory, shared by all instances; or a bucket, whose credentials and region the AWS variables name. */
export type ArtifactPlace =
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      readonly prefix: string;
      readonly endpoint: string | null;
    };

/** Connection strings of an external Postgres. */
export interface DatabaseUrls {
  readonly appUrl: string;
  /** Bypasses a transaction pooler; for `LISTEN`, session locks and the job queue. */
  readonly directUrl: string;
  readonly ownerUrl: string;
}

/** Requests a minute before a 429. */
export interface RateLimits {
  readonly unknownCredentialsPerMinute: number;
  readonly principalPerMinute: number;
  readonly nodePerMinute: number;
}

/** One or more variables are wrong. The message has one line for each of them. */
export class ConfigError extends Error {
  constructor(readonly lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'ConfigError';
  }
}

const url = (schemes: readonly string[]) =>
  z
    .string()
    .refine((text) => schemes.some((scheme) => text.startsWith(`${scheme}://`)) && URL.canParse(text), {
      error: `must be a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
    });

const postgresUrl = url(['postgres', 'postgresql']);
const httpUrl = url(['http', 'https']).transform((text) => text.replace(/\/+$/, ''));
const commaList = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean),
);
const masterKey = z.string().refine((text) => /^[A-Za-z0-9_-]{43}=?$/.test(text), {
  error: 'must be 32 bytes in base64url, such as `openssl rand 32 | basenc --base64url` prints',
});
const addressRange = z.string().refine(isAddressRange, {
  error: 'must be addresses or ranges such as 10.0.0.0/8, separated by commas',
});
const perMinute = (fallback: string) =>
  z
    .string()
    .regex(/^[1-9]\d{0,6}$/, 'must be a positive whole number')
    .default(fallback)
    .transform(Number);

const S3_PLACE = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([A-Za-z0-9!_.*'()/-]*?))?\/*$/;

const Environment = z.object({
  FABRIC_ROLE: z.enum(['all', 'api', 'worker'], { error: 'must be one of all, api, worker' }).default('all'),
  HOST: z.string().default('127.0.0.1'),
  PORT: z
    .string()
    .default('8080')
    .refine((text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535, {
      error: 'must be a port number from 0 to 65535',
    })
    .transform(Number),
  FABRIC_DATA_DIR: z.string().default('./data'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      error: 'must be one of fatal, error, warn, info, debug, trace, silent',
    })
    .default('info'),
  DATABASE_URL: postgresUrl.optional(),
  FABRIC_DATABASE_DIRECT_URL: postgresUrl.optional(),
  FABRIC_DATABASE_OWNER_URL: postgresUrl.optional(),
  REDIS_URL: url(['redis', 'rediss']).optional(),
  FABRIC_PUBLIC_URL: httpUrl.optional(),
  FABRIC_PUBLIC_URL_ALIASES: commaList.pipe(z.array(httpUrl)).default([]),
  FABRIC_BOOTSTRAP_TOKEN: z
    .string()
    .refine((text) => text === 'disabled' || text.length >= 32, {
      error: 'must have at least 32 characters, or be the word disabled',
    })
    .optional(),
  FABRIC_MASTER_KEY: masterKey.optional(),
  FABRIC_MASTER_KEY_PREVIOUS: commaList.pipe(z.array(masterKey)).default([]),
  FABRIC_ARTIFACT_STORE: z
    .string()
    .refine((text) => !text.includes('://') || S3_PLACE.test(text), {
      error: 'must be a directory, or s3://<bucket>[/<prefix>]',
    })
    .optional(),
  FABRIC_S3_ENDPOINT: httpUrl.optional(),
  FABRIC_MAX_ARTIFACT_BYTES: z
    .string()
    .regex(/^[1-9]\d{0,9}$/, 'must be a number of bytes')
    .default('2147483648')
    .transform(Number)
    // One call of S3 takes no more.
    .refine((bytes) => bytes <= 5_368_709_120, 'must be at most 5368709120, which is 5 GiB'),
  FABRIC_TRUSTED_PROXIES: commaList.pipe(z.array(addressRange)).default([]),
  FABRIC_LIMIT_UNKNOWN_PER_MINUTE: perMinute('60'),
  FABRIC_LIMIT_PRINCIPAL_PER_MINUTE: perMinute('600'),
  // A node's heartbeats at the shortest usual interval, a second, times four.
  FABRIC_LIMIT_NODE_PER_MINUTE: perMinute('240'),
  FABRIC_SNAPSHOT_KEPT_DAYS: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, 'must be a number of days from 1 to 9999')
    .default('30')
    .transform(Number),
  ...TRACING_VARIABLES,
});

function isAddressRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

const WILDCARD_HOSTS: readonly string[] = ['0.0.0.0', '::', '[::]', '*'];

/**
 * Reads the settings from `env`; an empty variable counts as unset.
 * @throws ConfigError naming every wrong variable, not only the first
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = Environment.safeParse(given);
  const lines = [
    ...missingOrLonely(given),
    ...(parsed.success ? tracingFaults(parsed.data) : faultsOf(parsed.error)),
  ];
  if (!parsed.success || lines.length > 0) throw new ConfigError(lines);
  const values = parsed.data;
  return {
    role: values.FABRIC_ROLE,
    host: values.HOST,
    port: values.PORT,
    listens: values.FABRIC_ROLE !== 'worker' || given.PORT !== undefined,
    dataDir: values.FABRIC_DATA_DIR,
    logLevel: values.LOG_LEVEL,
    database: databaseUrls(values),
    redisUrl: values.REDIS_URL ?? null,
    publicUrl: values.FABRIC_PUBLIC_URL ?? null,
    publicUrlAliases: values.FABRIC_PUBLIC_URL_ALIASES,
    bootstrapToken: values.FABRIC_BOOTSTRAP_TOKEN ?? null,
    masterKey: values.FABRIC_MASTER_KEY ?? null,
    masterKeyPrevious: values.FABRIC_MASTER_KEY_PREVIOUS,
    limits: {
      unknownCredentialsPerMinute: values.FABRIC_LIMIT_UNKNOWN_PER_MINUTE,
      principalPerMinute: values.FABRIC_LIMIT_PRINCIPAL_PER_MINUTE,
      nodePerMinute: values.FABRIC_LIMIT_NODE_PER_MINUTE,
    },
    snapshotKeptDays: values.FABRIC_SNAPSHOT_KEPT_DAYS,
    artifacts: { store: artifactPlace(values), maxBytes: values.FABRIC_MAX_ARTIFACT_BYTES },
    trustedProxies: values.FABRIC_TRUSTED_PROXIES,
    tracing: tracingConfig(values),
  };
}

/** One line for each wrong variable, however many of its parts are wrong. */
function faultsOf(error: z.ZodError): string[] {
  return [...new Set(error.issues.map((issue) => `${String(issue.path[0])} ${issue.message}`))];
}

/** Variables that others need, or that mean nothing without others; true of what was given, right or wrong. */
function missingOrLonely(given: Readonly<Record<string, string | undefined>>): string[] {
  const lines: string[] = [];
  if (given.DATABASE_URL === undefined) {
    for (const name of ['FABRIC_DATABASE_DIRECT_URL', 'FABRIC_DATABASE_OWNER_URL']) {
      if (given[name] !== undefined) lines.push(`${name} is set but DATABASE_URL is not`);
    }
  } else if (given.FABRIC_MASTER_KEY === undefined) {
    lines.push(
      'FABRIC_MASTER_KEY is required with DATABASE_URL: private keys rest in that database, sealed under it',
    );
  }
  if (given.FABRIC_S3_ENDPOINT !== undefined && given.FABRIC_ARTIFACT_STORE?.startsWith('s3://') !== true)
    lines.push('FABRIC_S3_ENDPOINT is set but FABRIC_ARTIFACT_STORE is not s3://<bucket>');
  if (
    given.HOST !== undefined &&
    WILDCARD_HOSTS.includes(given.HOST) &&
    given.FABRIC_PUBLIC_URL === undefined
  ) {
    lines.push(
      `FABRIC_PUBLIC_URL is required when HOST is ${given.HOST}: nodes sign for the URL by which they reach this service`,
    );
  }
  return lines;
}

function artifactPlace(values: z.infer<typeof Environment>): ArtifactPlace {
  const place = values.FABRIC_ARTIFACT_STORE ?? join(values.FABRIC_DATA_DIR, 'artifacts');
  const [, bucket, prefix = ''] = S3_PLACE.exec(place) ?? [];
  if (bucket === undefined) return { kind: 'directory', path: place };
  return { kind: 's3', bucket, prefix, endpoint: values.FABRIC_S3_ENDPOINT ?? null };
}

function databaseUrls(values: z.infer<typeof Environment>): DatabaseUrls | null {
  const appUrl = values.DATABASE_URL;
  if (appUrl === undefined) return null;
  return {
    appUrl,
    directUrl: values.FABRIC_DATABASE_DIRECT_URL ?? appUrl,
    ownerUrl: values.FABRIC_DATABASE_OWNER_URL ?? appUrl,
  };
}

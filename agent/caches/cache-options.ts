import { isIP } from 'node:net';
import { UsageError } from '../exit.js';

/** How this host keeps files of releases for others. */
export interface CacheOptions {
  listen: { host: string; port: number };
  /** Where others reach it: `https://`, host and port. */
  url: string;
  maxBytes: number;
}

/** What the command line says of it. */
export interface CacheArguments {
  'cache-listen'?: string | undefined;
  'cache-advertise'?: string | undefined;
  'cache-max-bytes'?: string | undefined;
}

const DEFAULT_MAX_BYTES = 10 * 1024 ** 3;
const WILDCARDS = ['0.0.0.0', '::'];

/** Null: this host keeps nothing for others. @throws UsageError */
export function cacheOptions(given: CacheArguments): CacheOptions | null {
  const { 'cache-listen': listen, 'cache-advertise': advertise, 'cache-max-bytes': maxBytes } = given;
  if (listen === undefined) {
    if (advertise !== undefined || maxBytes !== undefined)
      throw new UsageError('--cache-advertise and --cache-max-bytes mean nothing without --cache-listen');
    return null;
  }
  const at = place('--cache-listen', listen);
  const told = place('--cache-advertise', advertise ?? listen);
  if (WILDCARDS.includes(told.host))
    throw new UsageError(`${told.host} is no address that others reach: say which one by --cache-advertise`);
  const host = isIP(told.host) === 6 ? `[${told.host}]` : told.host;
  return { listen: at, url: `https://${host}:${told.port}`, maxBytes: bytes(maxBytes) };
}

function place(option: string, text: string): { host: string; port: number } {
  const [, inBrackets, name, port = ''] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = inBrackets ?? name;
  const number = Number(port);
  if (host === undefined || number < 1 || number > 65_535)
    throw new UsageError(`${option} must be <host>:<port>, not "${text}"`);
  return { host, port: number };
}

function bytes(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MAX_BYTES;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new UsageError(`--cache-max-bytes must be a number of bytes, not "${text}"`);
  return value;
}

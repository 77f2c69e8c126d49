import { describe, expect, it } from '@jest/globals';
import { UsageError } from '../exit.js';
import { type CacheArguments, cacheOptions } from './cache-options.js';

describe('the options of a cache', () => {
  it.each<[string, CacheArguments, unknown]>([
    ['none', {}, null],
    [
      'an address',
      { 'cache-listen': '192.0.2.7:7443' },
      { listen: { host: '192.0.2.7', port: 7443 }, url: 'https://192.0.2.7:7443', maxBytes: 10_737_418_240 },
    ],
    [
      'all addresses, and one that others reach',
      { 'cache-listen': '0.0.0.0:1', 'cache-advertise': 'cache-1.example:7443', 'cache-max-bytes': '5' },
      { listen: { host: '0.0.0.0', port: 1 }, url: 'https://cache-1.example:7443', maxBytes: 5 },
    ],
    [
      'an address of IPv6',
      { 'cache-listen': '[2001:db8::7]:7443', 'cache-max-bytes': '1' },
      { listen: { host: '2001:db8::7', port: 7443 }, url: 'https://[2001:db8::7]:7443', maxBytes: 1 },
    ],
  ])('may be %s', (_, given, wanted) => expect(cacheOptions(given)).toEqual(wanted));

  it.each<[string, CacheArguments]>([
    ['no port', { 'cache-listen': '192.0.2.7' }],
    ['a port that is none', { 'cache-listen': '192.0.2.7:0' }],
    ['a port that is too large', { 'cache-listen': '192.0.2.7:65536' }],
    ['a URL', { 'cache-listen': 'https://192.0.2.7:1' }],
    ['nowhere that others reach', { 'cache-listen': '0.0.0.0:7443' }],
    ['a size alone', { 'cache-max-bytes': '5' }],
    ['a place alone', { 'cache-advertise': '192.0.2.7:1' }],
    ['no size', { 'cache-listen': '192.0.2.7:1', 'cache-max-bytes': '0' }],
    ['a size in words', { 'cache-listen': '192.0.2.7:1', 'cache-max-bytes': '5G' }],
  ])('must not be %s', (_, given) => expect(() => cacheOptions(given)).toThrow(UsageError));
});

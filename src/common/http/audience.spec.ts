import { describe, expect, it } from '@jest/globals';
import { type AudienceSettings, buildAudience } from './audience.js';

const onLoopback: AudienceSettings = { aliases: [], host: '127.0.0.1', port: 8080 };
const onPublic: AudienceSettings = {
  ...onLoopback,
  host: '0.0.0.0',
  publicUrl: 'https://Fabric.Example/cp/',
};
const TOKEN_PATH = '/api/v1/node-agents/token';

describe('the expected audience', () => {
  it.each<[string, AudienceSettings, string]>([
    ['is the address listened on', onLoopback, 'http://127.0.0.1:8080'],
    ['has brackets around IPv6', { ...onLoopback, host: '::1' }, 'http://[::1]:8080'],
    ['is the public URL without trailing slash', onPublic, 'https://Fabric.Example/cp'],
  ])('%s', (_, settings, expected) => expect(buildAudience(settings).expected).toBe(expected));

  it.each(['0.0.0.0', '::', '[::]', ''])('cannot be guessed for the wildcard host "%s"', (host) => {
    expect(() => buildAudience({ ...onLoopback, host })).toThrow('FABRIC_PUBLIC_URL is required');
  });

  it.each([
    'fabric.example',
    'ftp://fabric.example',
    'https://u:p@fabric.example',
    'https://fabric.example/?a=1',
  ])('cannot be %s', (publicUrl) =>
    expect(() => buildAudience({ ...onLoopback, publicUrl })).toThrow('Not usable as a public URL'),
  );
});

describe('accepts', () => {
  it.each<[string, AudienceSettings, string | string[] | undefined, boolean]>([
    ['the expected one', onLoopback, 'http://127.0.0.1:8080', true],
    ['a trailing slash', onLoopback, 'http://127.0.0.1:8080/', true],
    ['one of several', onLoopback, ['https://other.example', 'http://127.0.0.1:8080'], true],
    ['another loopback name', onLoopback, 'http://localhost:8080', true],
    ['loopback by IPv6', onLoopback, 'http://[::1]:8080', true],
    ['127.0.0.1 when the host is ::1', { ...onLoopback, host: '::1' }, 'http://127.0.0.1:8080', true],
    ['loopback on the default port', { ...onLoopback, port: 80 }, 'http://localhost', true],
    ['the public URL as written', onPublic, 'https://Fabric.Example/cp', true],
    ['the public URL as a parser writes it', onPublic, 'https://fabric.example/cp', true],
    ['the public URL with its default port', onPublic, 'https://fabric.example:443/cp/', true],
    ['an alias', { ...onPublic, aliases: ['http://10.0.0.1:8080'] }, 'http://10.0.0.1:8080', true],
    [
      'loopback names of an alias',
      { ...onLoopback, publicUrl: 'https://a.example', aliases: ['http://localhost:8080'] },
      'http://[::1]:8080',
      true,
    ],
  ])('takes %s', (_, settings, aud) => expect(buildAudience(settings).accepts(aud)).toBe(true));

  it.each<[string, AudienceSettings, string | string[] | undefined]>([
    ['no audience', onLoopback, undefined],
    ['an empty one', onLoopback, ''],
    ['an empty list', onLoopback, []],
    ['another port', onLoopback, 'http://localhost:8081'],
    ['another scheme', onLoopback, 'https://localhost:8080'],
    ['a path that was not offered', onLoopback, `http://127.0.0.1:8080${TOKEN_PATH}`],
    ['a name that only begins alike', onPublic, 'https://fabric.example/cpx'],
    ['a user in front', onLoopback, 'http://a@127.0.0.1:8080'],
    ['loopback when the host is not', { ...onLoopback, host: '10.0.0.1' }, 'http://localhost:8080'],
    [
      'other loopback names of an alias when the host is not',
      { ...onPublic, aliases: ['http://localhost:8080'] },
      'http://127.0.0.1:8080',
    ],
    [
      'loopback when the public URL is elsewhere',
      { ...onLoopback, publicUrl: 'https://a.example' },
      'http://localhost:8080',
    ],
  ])('refuses %s', (_, settings, aud) => expect(buildAudience(settings).accepts(aud)).toBe(false));

  it.each<[string, string, boolean]>([
    ['the path below the expected one', `http://127.0.0.1:8080${TOKEN_PATH}`, true],
    ['the path below another loopback name', `http://localhost:8080${TOKEN_PATH}/`, true],
    ['the audience without the path', 'http://localhost:8080', true],
    ['the path elsewhere', `http://evil.example${TOKEN_PATH}`, false],
    ['the path twice', `http://127.0.0.1:8080${TOKEN_PATH}${TOKEN_PATH}`, false],
    ['the path alone', TOKEN_PATH, false],
  ])('with an extra path: %s', (_, aud, accepted) => {
    expect(buildAudience(onLoopback).accepts(aud, TOKEN_PATH)).toBe(accepted);
  });
});

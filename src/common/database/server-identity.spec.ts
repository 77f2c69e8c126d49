import { expect, it } from '@jest/globals';
import { judgeServer, type ServerIdentity, type ServerVerdict } from './server-identity.js';

const server = (systemIdentifier: string | null, timelineId: number | null): ServerIdentity => ({
  systemIdentifier,
  timelineId,
});

it.each<[string, ServerIdentity, ServerIdentity, ServerVerdict]>([
  ['nothing remembered', server(null, null), server('7', 1), 'first'],
  ['nothing remembered or readable', server(null, null), server(null, 1), 'first'],
  ['unchanged', server('7', 1), server('7', 1), 'same'],
  ['unchanged and not readable', server(null, 1), server(null, 1), 'same'],
  ['not readable any more', server('7', 1), server(null, 1), 'same'],
  ['readable now', server(null, 1), server('7', 1), 'identified'],
  ['a later timeline', server('7', 1), server('7', 2), 'promoted'],
  ['an earlier timeline', server('7', 3), server('7', 2), 'promoted'],
  ['another timeline of what is not readable', server('7', 1), server(null, 2), 'promoted'],
  ['another timeline, readable now', server(null, 1), server('7', 2), 'promoted'],
  ['another identifier', server('7', 1), server('8', 1), 'restored'],
  ['another identifier and timeline', server('7', 4), server('8', 1), 'restored'],
  ['a standby, where nothing is decided', server('7', 1), server('7', null), 'same'],
])('a server compared with the remembered one: %s', (_, remembered, seen, verdict) => {
  expect(judgeServer(remembered, seen)).toBe(verdict);
});

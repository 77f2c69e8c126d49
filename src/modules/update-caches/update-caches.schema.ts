import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { MAX_FILES } from './update-cache.js';

const url = z.string().meta({ example: 'https://192.0.2.7:7443' });
const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const Sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'Must be a SHA-256 in hexadecimal, in lower case.')
  .meta({ example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08' });

export const ReportUpdateCache = z
  .strictObject({
    url: z
      .string()
      .max(300)
      .regex(
        /^https:\/\/([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$/,
        'Must be https://, a host and perhaps a port, and nothing else.',
      )
      .refine((value) => URL.canParse(value), 'Must be a URL.')
      .nullable()
      .describe('Where other nodes reach the cache; null: it serves nothing.')
      .meta({ example: 'https://192.0.2.7:7443' }),
    held: z.array(Sha256).max(MAX_FILES).default([]).describe('Digests of the files that it has whole.'),
    usedBytes: bytes.default(0),
    capacityBytes: bytes.default(0),
    servedFiles: bytes.default(0).describe('Answers with bytes of a file since the agent started.'),
  })
  .meta({ id: 'ReportUpdateCache' });
export type ReportUpdateCache = z.infer<typeof ReportUpdateCache>;

export const UpdateCacheView = z
  .object({
    nodeId: Id,
    url: url.nullable().describe('Null: it serves nothing.'),
    held: z.array(Sha256).describe('Digests of the files that it says it has.'),
    usedBytes: z.int(),
    capacityBytes: z.int(),
    servedFiles: z.int(),
    isTold: z.boolean().describe('Whether nodes are told of it: its role gives it that, and it serves.'),
    reportedAt: Instant,
  })
  .meta({ id: 'UpdateCache' });
export type UpdateCacheView = z.infer<typeof UpdateCacheView>;

export const UpdateCachePage = pageOf(UpdateCacheView).meta({ id: 'UpdateCachePage' });
export const UpdateCacheQuery = PageQuery;

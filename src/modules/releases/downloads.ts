import { z } from 'zod';
import type { Operation } from '../../common/http/operation.js';

/** What every operation has that answers a file. */
export const DOWNLOAD = {
  response: z.string().describe('The bytes.').meta({ example: 'the bytes of the file' }),
  responseType: 'application/octet-stream',
  responseDescription:
    'The file, of the media type that the manifest names, with `Repr-Digest` and `Accept-Ranges`.',
  otherAnswers: [
    {
      status: 206,
      description: 'The part of the file that a single `Range` asks for, with `Content-Range`.',
      response: z.string(),
      responseType: 'application/octet-stream',
      example: 'bytes of the file',
    },
  ],
  setsEtag: true,
  problems: ['range_not_satisfiable'],
} as const satisfies Partial<Operation>;

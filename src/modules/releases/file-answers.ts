import { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { rangeNotSatisfiable } from '../../common/errors/domain-error.js';
import { matchesIfMatch, matchesIfNoneMatch, parseEntityTags } from '../../common/http/etag.js';
import { WithStatus } from '../../common/http/with-status.js';
import { ARTIFACT_STORE, type ArtifactStore, type ContentId } from './artifact-store.js';
import type { ReleaseFile } from './artifacts.repository.js';
import { type ByteRange, byteRange } from './byte-range.js';

/** The strong ETag of a file: its digest, since a file is its content. */
export function fileEtag({ sha256 }: Pick<ContentId, 'sha256'>): string {
  return `"${sha256}"`;
}

/** Answers files so that a download that broke off goes on where it was: with ETag, ranges and digest. */
@Injectable()
export class FileAnswers {
  constructor(@Inject(ARTIFACT_STORE) private readonly store: ArtifactStore) {}

  /** @throws range_not_satisfiable; unavailable when the store has lost the file */
  async answer(
    file: ReleaseFile,
    { headers: sent, method }: FastifyRequest,
    reply: FastifyReply,
  ): Promise<WithStatus<Readable | undefined>> {
    const etag = fileEtag(file);
    const ifNoneMatch = sent['if-none-match'];
    if (ifNoneMatch !== undefined && matchesIfNoneMatch(ifNoneMatch, etag))
      return new WithStatus(304, undefined, { ETag: etag });
    // Ranges are of what GET answers (RFC 9110 section 14.2).
    const range = method === 'HEAD' ? null : wantedRange(sent, file.size, etag);
    if (range === 'unsatisfiable') {
      void reply.header('Content-Range', `bytes */${file.size}`);
      throw rangeNotSatisfiable('range_not_satisfiable', `The file has ${file.size} bytes.`);
    }
    const length = range === null ? file.size : range.end - range.start + 1;
    const headers = {
      ...headersOf(file, etag),
      'Content-Length': String(length),
      ...(range === null ? {} : { 'Content-Range': `bytes ${range.start}-${range.end}/${file.size}` }),
    };
    // The answer to HEAD has no body.
    const body = method === 'HEAD' ? Readable.from([]) : await this.store.open(file, range);
    return new WithStatus(range === null ? 200 : 206, body, headers);
  }
}

/** A range counts only while the file is the one that the caller has a part of (`If-Range`). */
function wantedRange(
  sent: FastifyRequest['headers'],
  size: number,
  etag: string,
): ByteRange | null | 'unsatisfiable' {
  const ifRange = sent['if-range'];
  if (typeof ifRange === 'string' && !isOf(ifRange, etag)) return null;
  return byteRange(sent.range, size);
}

/** What cannot be read is of no file, as is the date of one: the whole is never wrong. */
function isOf(ifRange: string, etag: string): boolean {
  const tags = parseEntityTags(ifRange);
  return tags !== null && tags !== '*' && matchesIfMatch(ifRange, etag);
}

function headersOf({ sha256, mediaType, fileName }: ReleaseFile, etag: string): Record<string, string> {
  return {
    ETag: etag,
    'Accept-Ranges': 'bytes',
    // Of the whole file, also beside a part of it: RFC 9530.
    'Repr-Digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
    'Content-Type': mediaType,
    'Content-Disposition': `attachment; filename="${fileName}"`,
    // Each use asks again, since a release may be blocked; the ETag makes that cheap.
    'Cache-Control': 'private, no-cache',
    'X-Content-Type-Options': 'nosniff',
  };
}

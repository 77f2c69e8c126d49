import { createHash } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { matchesIfNoneMatch } from '../http/etag.js';
import { buildDocument, type OpenApiDocument } from './document.js';
import { scanRoutes } from './scan-routes.js';
import { serveSwaggerUi } from './swagger-ui.js';

/** Serves `/openapi.json`, and Swagger UI under `/docs` from files of our own. Built at the first request. */
export function serveDocument(app: NestFastifyApplication, version: string): void {
  let document: OpenApiDocument | null = null;
  let served: { text: string; etag: string } | null = null;
  const describe = () => {
    document ??= buildDocument(scanRoutes(app), version);
    return document;
  };
  app.getHttpAdapter().get('/openapi.json', async (request: FastifyRequest, reply: FastifyReply) => {
    served ??= withEtag(documentText(describe()));
    void reply.headers({ ETag: served.etag, 'Cache-Control': 'no-cache' });
    const ifNoneMatch = request.headers['if-none-match'];
    if (ifNoneMatch !== undefined && matchesIfNoneMatch(ifNoneMatch, served.etag))
      return reply.status(304).send();
    return reply.type('application/json').send(served.text);
  });
  serveSwaggerUi(app.getHttpAdapter().getInstance() as unknown as FastifyInstance);
}

/** The document as it stands in files and answers. */
export function documentText(document: OpenApiDocument): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}

function withEtag(text: string): { text: string; etag: string } {
  return { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` };
}

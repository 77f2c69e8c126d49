import { Readable } from 'node:stream';
import { Controller, Get, Header, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import { CurrentPrincipal, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { AuditEventPage, AuditEventView, AuditExportQuery, AuditQuery } from './audit.schema.js';
import { AuditService } from './audit.service.js';

@ApiTags('Audit')
@Controller('api/v1/audit')
export class AuditController {
  constructor(private readonly audit: AuditService) {}

  @Get('events')
  @Route({
    id: 'listAuditEvents',
    summary: 'List audit events, newest first',
    access: { permission: 'audit.read' },
    query: AuditQuery,
    response: AuditEventPage,
  })
  list(
    @CurrentPrincipal() principal: Principal,
    @ValidQuery() query: z.infer<typeof AuditQuery>,
  ): Promise<Page<AuditEventView>> {
    return this.audit.list(principal, query);
  }

  @Get('events/:event')
  @Route({
    id: 'getAuditEvent',
    summary: 'Read an audit event',
    access: { permission: 'audit.read' },
    response: AuditEventView,
    etag: contentEtag,
  })
  get(@CurrentPrincipal() principal: Principal, @PathId('event') id: string): Promise<AuditEventView> {
    return this.audit.get(principal, id);
  }

  @Get('export')
  @Route({
    id: 'exportAuditEvents',
    summary: 'Export audit events as lines of JSON, newest first',
    description:
      'One `AuditEvent` a line. If the export cannot be finished the connection breaks, so that a part is never taken for the whole.',
    access: { permission: 'audit.read' },
    query: AuditExportQuery,
    response: z.string(),
    responseType: 'application/x-ndjson',
    responseDescription: 'One event a line.',
    responseExample:
      '{"id":"019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21","sequence":null,"action":"cluster.created"}\n',
  })
  @Header('Cache-Control', 'no-store')
  @Header('Content-Disposition', 'attachment; filename="audit-events.ndjson"')
  async export(
    @CurrentPrincipal() principal: Principal,
    @ValidQuery() query: z.infer<typeof AuditExportQuery>,
    @Req() request: FastifyRequest,
  ): Promise<Readable> {
    const lines = await this.audit.export(principal, query);
    // The answer to HEAD has no body: reading the whole log for it would be in vain.
    return Readable.from(request.method === 'HEAD' ? [] : lines, { objectMode: false });
  }
}

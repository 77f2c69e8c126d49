import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { Route } from '../http/operation.js';
import { WithStatus } from '../http/with-status.js';
import { Metrics } from './metrics.js';
import { Readiness } from './readiness.js';

const Alive = z.object({ status: z.literal('alive') }).meta({ id: 'Liveness' });
const Ready = z
  .object({
    status: z.enum(['ready', 'not_ready']),
    parts: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() })),
  })
  .meta({ id: 'Readiness' });

@ApiTags('Service')
@Controller()
export class HealthController {
  constructor(
    private readonly readiness: Readiness,
    private readonly metrics: Metrics,
  ) {}

  @Get('livez')
  @Route({
    id: 'getLiveness',
    summary: 'Whether the process lives',
    access: 'public',
    response: Alive,
    responseExample: { status: 'alive' },
  })
  live(): z.infer<typeof Alive> {
    return { status: 'alive' };
  }

  @Get('readyz')
  @Route({
    id: 'getReadiness',
    summary: 'Whether the process can do its work, and which part cannot',
    access: 'public',
    response: Ready,
    responseExample: { status: 'ready', parts: { database: { ok: true } } },
    otherAnswers: [
      {
        status: 503,
        description: 'A part is not ready.',
        response: Ready,
        example: { status: 'not_ready', parts: { database: { ok: false, detail: 'It does not answer.' } } },
      },
    ],
  })
  async ready(): Promise<WithStatus<z.infer<typeof Ready>>> {
    const { ready, parts } = await this.readiness.look();
    return new WithStatus(ready ? 200 : 503, { status: ready ? 'ready' : 'not_ready', parts });
  }

  @Get('metrics')
  @Route({
    id: 'getMetrics',
    summary: 'Metrics in the Prometheus text format',
    access: 'public',
    response: z.string(),
    responseType: 'text/plain',
    responseExample:
      '# HELP http_request_duration_seconds Time from the arrival of a request to the end of its answer.',
  })
  scrape(): Promise<string> {
    return this.metrics.registry.metrics();
  }
}

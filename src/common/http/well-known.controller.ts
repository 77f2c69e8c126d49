import { Controller, Get, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { RUNTIME, type Runtime } from '../config/runtime.js';
import { Database } from '../database/database.js';
import { sql } from '../database/sql.js';
import { Instant } from './fields.js';
import { Route } from './operation.js';
import { ServiceAddress } from './service-address.js';

const ServiceInfo = z
  .object({ publicUrl: z.string(), apiBase: z.string(), serverTime: Instant, version: z.string() })
  .meta({ id: 'ServiceInfo' });

@ApiTags('Service')
@Controller('.well-known')
export class WellKnownController {
  constructor(
    private readonly address: ServiceAddress,
    private readonly database: Database,
    @Inject(RUNTIME) private readonly runtime: Runtime,
  ) {}

  @Get('fabric')
  @Route({
    id: 'getServiceInfo',
    summary: 'Where this service is reached, what time it has, and its version',
    access: 'public',
    response: ServiceInfo,
    responseExample: {
      publicUrl: 'https://fabric.example',
      apiBase: 'https://fabric.example/api/v1',
      serverTime: '2026-11-23T08:00:00.000Z',
      version: '0.1.0',
    },
  })
  async info(): Promise<z.infer<typeof ServiceInfo>> {
    const [row] = await this.database.query<{ now: Date }>(sql`SELECT now() AS now`);
    const { publicUrl } = this.address;
    const serverTime = (row?.now ?? new Date()).toISOString();
    return { publicUrl, apiBase: `${publicUrl}/api/v1`, serverTime, version: this.runtime.version };
  }
}

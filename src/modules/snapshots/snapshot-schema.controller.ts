import { Controller, Get, Header } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import { convert } from '../../common/openapi/json-schema.js';
import { SNAPSHOT_SCHEMA } from './snapshot-content.js';
import { SnapshotPayloadView } from './snapshots.schema.js';

const FILE = `${SNAPSHOT_SCHEMA}.json`;
const JsonSchemaDocument = z.record(z.string(), z.json()).meta({ id: 'JsonSchemaDocument' });

/** The schema of what is signed, for whoever reads snapshots: made of the same source as the snapshots' own types. */
@ApiTags('Snapshots')
@Controller('schemas')
export class SnapshotSchemaController {
  constructor(private readonly address: ServiceAddress) {}

  @Get(FILE)
  @Header('Cache-Control', 'public, max-age=3600')
  @Route({
    id: 'getSnapshotSchema',
    summary: "The JSON Schema of a snapshot's payload",
    access: 'public',
    response: JsonSchemaDocument,
    responseType: 'application/schema+json',
    responseExample: { $schema: 'https://json-schema.org/draft/2020-12/schema', title: SNAPSHOT_SCHEMA },
    etag: contentEtag,
  })
  get(): z.infer<typeof JsonSchemaDocument> {
    const { schema, definitions } = convert(SnapshotPayloadView, 'output');
    return {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: `${this.address.publicUrl}/schemas/${FILE}`,
      title: SNAPSHOT_SCHEMA,
      ...schema,
      $defs: definitions,
    } as z.infer<typeof JsonSchemaDocument>;
  }
}

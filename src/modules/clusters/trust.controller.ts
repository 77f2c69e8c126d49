import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ClusterId } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import { ClusterKeys } from './cluster-keys.js';

const SnapshotKeys = z.object({ keys: z.array(z.record(z.string(), z.json())) }).meta({ id: 'SnapshotKeys' });

@ApiTags('Trust')
@Controller('api/v1/clusters/:cluster/trust')
export class TrustController {
  constructor(private readonly keys: ClusterKeys) {}

  @Get('jwks')
  @Route({
    id: 'getSnapshotKeys',
    summary: "The keys by which a cluster's snapshots can be checked",
    access: 'public',
    response: SnapshotKeys,
    responseExample: {
      keys: [
        {
          kty: 'OKP',
          crv: 'Ed25519',
          x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
          kid: 'k',
          alg: 'EdDSA',
          use: 'sig',
        },
      ],
    },
    etag: contentEtag,
    problems: ['not_found'],
  })
  async jwks(@ClusterId() clusterId: string): Promise<z.infer<typeof SnapshotKeys>> {
    return (await this.keys.jwks(clusterId)) as z.infer<typeof SnapshotKeys>;
  }
}

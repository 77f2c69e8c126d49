import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ClusterId } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import { authorityView } from './authority.js';
import { AuthorityView } from './authority.schema.js';
import { AuthorityService } from './authority.service.js';

@ApiTags('Authority')
@Controller('api/v1/clusters/:cluster/authority')
export class AuthorityController {
  constructor(private readonly authorities: AuthorityService) {}

  @Get()
  @Route({
    id: 'getAuthority',
    summary: "Read a cluster's authority",
    access: { permission: 'authority.read' },
    response: AuthorityView,
    etag: contentEtag,
  })
  async get(@ClusterId() clusterId: string): Promise<AuthorityView> {
    return authorityView(await this.authorities.get(clusterId));
  }
}

import { Body, Controller, Delete, Get, Headers, Ip, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import { SentBody } from '../../common/http/sent-body.js';
import { Enroll, EnrollAnswer, JoinRequestState } from './enrollment.schema.js';
import { EnrollmentService, type Source } from './enrollment.service.js';
import { EnrollmentStatusService } from './enrollment-status.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/enroll')
export class EnrollmentController {
  constructor(
    private readonly enrollment: EnrollmentService,
    private readonly status: EnrollmentStatusService,
  ) {}

  @Post()
  @Route({
    id: 'enroll',
    summary: 'Ask to be admitted to the cluster of a join token',
    description:
      'Needs no credential but the token and the proof. The same key and token again answer the same request; while it ' +
      'is pending, facts, capabilities, roles, csr and version are replaced. Members that this version does not know are ignored. ' +
      'An `Idempotency-Key` is not looked at: nobody is authenticated yet whose key it could be, and a repeat is safe without one.',
    access: 'public',
    status: 202,
    body: Enroll,
    response: EnrollAnswer,
    problems: ['csr_invalid', 'proof_invalid', 'join_token_invalid'],
  })
  enroll(
    @Ip() ip: string,
    @Headers('user-agent') userAgent: string | undefined,
    @Body() body: Enroll,
    @SentBody() sent: unknown,
  ): Promise<EnrollAnswer> {
    return this.enrollment.enroll(sourceOf(ip, userAgent), body, sent);
  }

  @Get(':joinRequest')
  @Route({
    id: 'getEnrollment',
    summary: 'See what became of a join request, as the node that made it',
    description:
      'The bearer is a JWT by the node key: `iss` = `sub` = id of the request, `aud`, `jti` (once), `iat`, `exp` at most 60 s later.',
    access: 'public',
    response: JoinRequestState,
    etag: contentEtag,
  })
  read(
    @Ip() ip: string,
    @Headers('user-agent') userAgent: string | undefined,
    @Headers('authorization') authorization: string | undefined,
    @Param('joinRequest') id: string,
  ): Promise<JoinRequestState> {
    return this.status.read(sourceOf(ip, userAgent), id.toLowerCase(), authorization);
  }

  @Delete(':joinRequest')
  @Route({
    id: 'cancelEnrollment',
    summary: 'Take a join request back, as the node that made it',
    description: 'The bearer is the same as for reading. The use of the token is given back.',
    access: 'public',
    status: 204,
    problems: ['join_request_decided'],
  })
  cancel(
    @Ip() ip: string,
    @Headers('user-agent') userAgent: string | undefined,
    @Headers('authorization') authorization: string | undefined,
    @Param('joinRequest') id: string,
  ): Promise<void> {
    return this.status.cancel(sourceOf(ip, userAgent), id.toLowerCase(), authorization);
  }
}

function sourceOf(ip: string, userAgent: string | undefined): Source {
  return { ip, userAgent: userAgent ?? null };
}

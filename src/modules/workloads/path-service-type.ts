import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { notFound } from '../../common/errors/domain-error.js';
import { SERVICE_TYPE } from '../nodes/workload-report.schema.js';

/** The service type that the path names. What cannot be one names nothing: 404. @throws not_found */
export const PathServiceType = createParamDecorator((_: unknown, execution: ExecutionContext): string => {
  const { serviceType } = execution.switchToHttp().getRequest<FastifyRequest>().params as {
    serviceType?: string;
  };
  if (serviceType === undefined || !SERVICE_TYPE.test(serviceType))
    throw notFound('not_found', 'There is no such service type.');
  return serviceType;
});

import type { INestApplication } from '@nestjs/common';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { operationById } from '../http/operation.js';
import type { DescribedRoute, Parameter } from './described-route.js';

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;

/** Every route of the application that has a declaration, as Nest's own scanner finds them. The application need not
 *  be started, nor its providers made. @throws Error for a route without one */
export function scanRoutes(app: INestApplication): DescribedRoute[] {
  const scanned: OpenAPIObject = SwaggerModule.createDocument(app, {
    openapi: '3.1.1',
    info: { title: '', version: '' },
  });
  return Object.entries(scanned.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method): DescribedRoute[] => {
      const found = item[method];
      if (found === undefined) return [];
      const operation = operationById(found.operationId ?? '');
      if (operation === undefined) throw new Error(`${method.toUpperCase()} ${path} has no declaration`);
      const headers = (found.parameters ?? []).filter((each) => 'in' in each && each.in === 'header');
      return [
        {
          path,
          method: method.toUpperCase(),
          tags: found.tags ?? [],
          headers: headers as Parameter[],
          operation,
        },
      ];
    }),
  );
}

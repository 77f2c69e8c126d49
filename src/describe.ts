import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { loadConfig } from './common/config/config.js';
import type { Runtime } from './common/config/runtime.js';
import { buildDocument } from './common/openapi/document.js';
import { scanRoutes } from './common/openapi/scan-routes.js';
import { documentText } from './common/openapi/serve-document.js';

/** The text of the OpenAPI document, made without a database: nothing of the application is instantiated. */
export async function describeApi(version: string): Promise<string> {
  const none = { appUrl: '', directUrl: '', ownerUrl: '' };
  const runtime: Runtime = {
    config: loadConfig({}),
    database: none,
    masterKey: '',
    bootstrapToken: null,
    version,
  };
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRuntime(runtime),
    new FastifyAdapter(),
    {
      preview: true,
      logger: false,
      abortOnError: false,
    },
  );
  return documentText(buildDocument(scanRoutes(app), version));
}

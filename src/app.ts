import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import type { Runtime } from './common/config/runtime.js';
import { AllowedMethods } from './common/http/allowed-methods.js';
import { EarlyAnswers, serverAsking } from './common/http/early-answers.js';
import { refuseBytes, refusePath } from './common/http/early-refusals.js';
import { closeIdleConnectionsAtTheEnd } from './common/http/idle-connections.js';
import { addRequestHooks, BODY_LIMIT_BYTES } from './common/http/request-hooks.js';
import { ServiceAddress } from './common/http/service-address.js';
import { addAccessLog } from './common/observability/access-log.js';
import { LOGGER } from './common/observability/logger.js';
import { Metrics } from './common/observability/metrics.js';
import { NestLogger } from './common/observability/nest-logger.js';
import { addRequestSpans } from './common/observability/request-spans.js';
import { serveDocument } from './common/openapi/serve-document.js';

/** Longer than the longest held poll, so that a proxy never cuts one before its answer. */
const KEEP_ALIVE_MS = 72_000;
const MAX_PATH_PARAMETER = 256;

/** Builds the service without listening. */
export async function createApp(runtime: Runtime): Promise<NestFastifyApplication> {
  // Known once the application is made, which needs its server first.
  let early: EarlyAnswers | null = null;
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    routerOptions: { maxParamLength: MAX_PATH_PARAMETER },
    serverFactory: serverAsking((...taken) => early?.answer(...taken) ?? false),
    frameworkErrors: refusePath,
    clientErrorHandler: refuseBytes,
    // What still arrives on an open connection while the service stops is answered like any other request.
    return503OnClosing: false,
    trustProxy: runtime.config.trustedProxies.length > 0 ? [...runtime.config.trustedProxies] : false,
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRuntime(runtime), adapter, {
    bodyParser: false,
    logger: new NestLogger(runtime.config.logLevel),
    abortOnError: false,
  });
  early = app.get(EarlyAnswers);
  const fastify = adapter.getInstance() as unknown as FastifyInstance;
  app.get(AllowedMethods).observe(fastify);
  addRequestHooks(fastify);
  addRequestSpans(fastify);
  addAccessLog(fastify, app.get<Logger>(LOGGER), app.get(Metrics));
  serveDocument(app, runtime.version);
  closeIdleConnectionsAtTheEnd(fastify);
  return app;
}

/** Listens as configured and tells where. */
export async function listen(app: NestFastifyApplication, { config }: Runtime): Promise<{ port: number }> {
  await app.init();
  // Not by Nest, which logs what goes wrong here; the caller has better words for it.
  await app.getHttpAdapter().getInstance().listen({ port: config.port, host: config.host });
  const address = app.getHttpServer().address();
  const port = typeof address === 'object' && address !== null ? address.port : config.port;
  app.get(ServiceAddress).listensOn(port);
  return { port };
}

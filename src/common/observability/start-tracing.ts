import { context, DiagLogLevel, diag, propagation, trace } from '@opentelemetry/api';
import type { Logger } from 'pino';
import type { TracingConfig } from '../config/tracing-config.js';
import { within } from '../waiting/waiting.js';

/** What spans that nobody has yet may take at the end: together with the requests' time it stays below 30 s. */
const FLUSH_MS = 2_000;

/**
 * Starts tracing for the whole process, or nothing at all where it is not configured: then not even its code is
 * loaded. What this service does not read itself (headers, sampler, limits) the SDK takes from its own variables.
 * @returns ends it, once, handing over the spans that wait; never fails
 */
export async function startTracing(
  config: TracingConfig | null,
  version: string,
  logger: Logger,
): Promise<() => Promise<void>> {
  if (config === null) return async () => undefined;
  reportTo(logger);
  const [sdk, resource, exporter] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    describeService(version),
    config.exporter === 'console' ? consoleExporter() : otlpExporter(),
  ]);
  const provider = new sdk.NodeTracerProvider({
    resource,
    spanProcessors: [new sdk.BatchSpanProcessor(exporter)],
  });
  provider.register();
  return async () => {
    for (const api of [trace, context, propagation]) api.disable();
    await within(FLUSH_MS, 'handing over the last spans', provider.shutdown()).catch((error: unknown) =>
      logger.warn({ err: error }, 'tracing: the last spans are lost'),
    );
  };
}

/** Who makes the spans; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win. */
async function describeService(version: string) {
  const resources = await import('@opentelemetry/resources');
  const own = { 'service.name': 'fabric-control-plane', 'service.version': version };
  const detectors = [resources.serviceInstanceIdDetector, resources.envDetector];
  return resources
    .defaultResource()
    .merge(resources.resourceFromAttributes(own))
    .merge(resources.detectResources({ detectors }));
}

async function consoleExporter() {
  const { ConsoleSpanExporter } = await import('@opentelemetry/sdk-trace-node');
  return new ConsoleSpanExporter();
}

async function otlpExporter() {
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  return new OTLPTraceExporter();
}

/** The SDK's own troubles, such as a collector that is away, in the service's log. */
function reportTo(logger: Logger): void {
  const silent = () => undefined;
  const warn = (message: string) => logger.warn({ detail: message }, 'tracing: the SDK has a problem');
  diag.setLogger(
    { error: warn, warn, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

import { z } from 'zod';

/** Where spans go. Everything else about tracing the OpenTelemetry SDK reads from its own `OTEL_*` variables. */
export interface TracingConfig {
  readonly exporter: 'otlp' | 'console';
}

const url = z
  .string()
  .refine((text) => /^https?:\/\//.test(text) && URL.canParse(text), {
    error: 'must be a URL that starts with http:// or https://',
  })
  .optional();

/** The variables of OpenTelemetry that decide whether tracing is on. */
export const TRACING_VARIABLES = {
  OTEL_SDK_DISABLED: z.string().optional(),
  OTEL_TRACES_EXPORTER: z
    .enum(['otlp', 'console', 'none'], { error: 'must be one of otlp, console, none' })
    .optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: z.string().optional(),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: z.string().optional(),
};
type TracingVariables = {
  [Name in keyof typeof TRACING_VARIABLES]?: z.infer<(typeof TRACING_VARIABLES)[Name]>;
};

const PROTOCOL = 'http/json';

/** What the variables ask for; null: no tracing, and none of its code is loaded. */
export function tracingConfig(values: TracingVariables): TracingConfig | null {
  const { OTEL_SDK_DISABLED: disabled, OTEL_TRACES_EXPORTER: exporter } = values;
  if (disabled?.toLowerCase() === 'true' || exporter === 'none') return null;
  const endpoint = values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? values.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (exporter === undefined) return endpoint === undefined ? null : { exporter: 'otlp' };
  return { exporter };
}

/** What is wrong with a wish for tracing, a line for each; nothing matters where spans go nowhere by OTLP. */
export function tracingFaults(values: TracingVariables): readonly string[] {
  if (tracingConfig(values)?.exporter !== 'otlp') return [];
  const [name] = (['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const).filter(
    (variable) => values[variable] !== undefined,
  );
  if (name === undefined || values[name] === PROTOCOL) return [];
  return [`${name} must be ${PROTOCOL}, the form of OTLP that this service sends`];
}

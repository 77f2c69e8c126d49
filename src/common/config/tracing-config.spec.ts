import { describe, expect, it } from '@jest/globals';
import { ConfigError, loadConfig } from './config.js';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

describe('tracing', () => {
  it.each<[string, Record<string, string>, string | undefined]>([
    ['is off by default', {}, undefined],
    ['is off where the endpoint is empty', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }, undefined],
    ['is on with an endpoint', ENDPOINT, 'otlp'],
    [
      'is on with an endpoint for traces',
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://c/v1/traces' },
      'otlp',
    ],
    ['is on with an exporter, which knows where to go', { OTEL_TRACES_EXPORTER: 'otlp' }, 'otlp'],
    ['goes to the console', { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'console' }, 'console'],
    ['is off with no exporter', { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }, undefined],
    ['is off with the SDK', { ...ENDPOINT, OTEL_SDK_DISABLED: 'true' }, undefined],
    ['speaks JSON', { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, 'otlp'],
    [
      'takes the protocol for traces before the general one',
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' },
      'otlp',
    ],
    ['does not mind a protocol that it does not use', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, undefined],
  ])('%s', (_, env, exporter) => expect(loadConfig(env).tracing?.exporter).toBe(exporter));

  it.each<[string, Record<string, string>, string]>([
    ['an exporter that is not here', { OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER'],
    [
      'an endpoint for gRPC',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' },
      'OTEL_EXPORTER_OTLP_ENDPOINT',
    ],
    ['another protocol', { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL'],
  ])('refuses %s, and names the variable', (_, env, name) => {
    expect(() => loadConfig(env)).toThrow(ConfigError);
    expect(() => loadConfig(env)).toThrow(new RegExp(`^${name} must be `));
  });
});

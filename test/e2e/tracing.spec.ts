import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { loadConfig } from '../../src/common/config/config.js';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { startTracing } from '../../src/common/observability/start-tracing.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';
import { collectLog, type LogLine } from '../support/log-lines.js';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.js';

const CALLER_SPAN = '00f067aa0ba902b7';
const TRACES = {
  read: '11111111111111111111111111111111',
  change: '22222222222222222222222222222222',
  fault: '33333333333333333333333333333333',
  refusal: '44444444444444444444444444444444',
  unsampled: '55555555555555555555555555555555',
  stranger: '66666666666666666666666666666666',
};
const traceparent = (traceId: string, flags = '01') => ({
  traceparent: `00-${traceId}-${CALLER_SPAN}-${flags}`,
});
const SERVER = 2;
const CONSUMER = 5;
const ERROR = 2;

/** The lines about answered requests to `route`. */
const answers = (lines: readonly LogLine[], route: string) =>
  lines.filter(({ msg, route: of }) => msg === 'answered' && of === route);

describe('tracing that is configured', () => {
  let receiver: OtlpReceiver;
  let lines: LogLine[];
  const own = (traceId: string) => receiver.spans.filter((span) => span.traceId === traceId);
  const server = (traceId: string) => own(traceId).find((span) => span.kind === SERVER) as ReceivedSpan;

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    // The SDK reads the address itself.
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.url;
    process.env.OTEL_BSP_SCHEDULE_DELAY = '50';
    const { tracing } = loadConfig(process.env);
    const stopTracing = await startTracing(tracing, '1.2.3-test', pino({ level: 'silent' }));
    const plane = await startControlPlane();
    lines = collectLog(plane, 'debug');
    const { api } = plane;
    await api.get('/me', { ...traceparent(TRACES.read), tracestate: 'vendor=abc,other=1' });
    created(await api.post('/clusters', { name: unique('traced') }, traceparent(TRACES.change)));
    await api.get(`/clusters/${unique('none')}`, traceparent(TRACES.refusal));
    await api.get('/role-catalog', traceparent(TRACES.unsampled, '00'));
    await api.get('/audit/events', { traceparent: `00-${TRACES.stranger}-${CALLER_SPAN}` });
    await plane.database.query('ALTER TABLE clusters RENAME TO clusters_away');
    await api.get('/clusters', traceparent(TRACES.fault));
    await plane.database.query('ALTER TABLE clusters_away RENAME TO clusters');
    await plane.app.get(Jobs).enqueue('maintenance', 'retention', 'traced');
    await receiver.until(({ name }) => name === 'process maintenance/retention');
    // Not left to the handing over at the end, for which there are but two seconds.
    for (const traceId of [TRACES.read, TRACES.change, TRACES.refusal, TRACES.fault])
      await receiver.until((span) => span.traceId === traceId && span.kind === SERVER);
    await receiver.until(({ name }) => name === 'GET /api/v1/audit/events');
    // In the order of the real shutdown: spans end with their connections, and the last are handed over.
    await plane.close();
    await stopTracing();
  });
  afterAll(async () => {
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    delete process.env.OTEL_BSP_SCHEDULE_DELAY;
    await receiver.close();
  });

  it('puts the span of a request below the span of its caller', () => {
    expect(server(TRACES.read)).toMatchObject({
      name: 'GET /api/v1/me',
      parentSpanId: CALLER_SPAN,
      traceState: 'vendor=abc,other=1',
      status: 0,
      resource: { 'service.name': 'fabric-control-plane', 'service.version': '1.2.3-test' },
      attributes: {
        'http.request.method': 'GET',
        'http.route': '/api/v1/me',
        'http.response.status_code': 200,
        'url.path': '/api/v1/me',
        'url.scheme': 'http',
        'client.address': '127.0.0.1',
      },
    });
  });

  it('names a request by its route, and tells what it was about', () => {
    const { name, attributes } = server(TRACES.refusal);
    expect(name).toBe('GET /api/v1/clusters/:cluster');
    expect(attributes).toMatchObject({
      'fabric.operation_id': 'getCluster',
      'http.response.status_code': 404,
    });
    expect(server(TRACES.change).attributes).toMatchObject({ 'http.response.status_code': 201 });
  });

  it('shows the transactions of a change below its request', () => {
    const { spanId } = server(TRACES.change);
    const below = own(TRACES.change).filter((span) => span.parentSpanId === spanId);
    expect(below.map((span) => span.name)).toEqual(
      expect.arrayContaining(['transaction mutate', 'transaction commit']),
    );
    expect(below.every((span) => span.attributes['db.system.name'] === 'postgresql')).toBe(true);
  });

  it('holds the service guilty of faults, and not of refusals', () => {
    expect(server(TRACES.refusal).status).toBe(0);
    const { status, events, attributes } = server(TRACES.fault);
    expect({ status, events }).toEqual({ status: ERROR, events: ['exception'] });
    expect(attributes).toMatchObject({ 'error.type': '500', 'http.response.status_code': 500 });
  });

  it('records nothing of a trace that its caller does not record', () => {
    expect(own(TRACES.unsampled)).toEqual([]);
  });

  it('starts a trace of its own where the header is not valid', () => {
    expect(own(TRACES.stranger)).toEqual([]);
    const [span] = receiver.spans.filter(({ name }) => name === 'GET /api/v1/audit/events');
    expect(span?.parentSpanId).toBe('');
    const [line] = answers(lines, '/api/v1/audit/events');
    expect(line?.traceId).toBe(span?.traceId);
  });

  it('makes each run of a job a trace of its own', () => {
    const run = receiver.spans.find(({ name }) => name === 'process maintenance/retention');
    expect(run?.kind).toBe(CONSUMER);
    expect(run?.parentSpanId).toBe('');
    expect(run?.attributes).toMatchObject({ 'messaging.system': 'bullmq' });
  });

  it('names the trace in the lines about the request and its fault', () => {
    expect(answers(lines, '/api/v1/me')).toMatchObject([{ traceId: TRACES.read }]);
    const fault = lines.find(({ msg }) => msg === 'request failed');
    expect(fault).toMatchObject({ level: 'error', traceId: TRACES.fault });
  });
});

describe('the access log, without tracing', () => {
  let plane: ControlPlane;
  let lines: LogLine[];
  beforeAll(async () => {
    plane = await startControlPlane();
    lines = collectLog(plane, 'debug');
  });
  afterAll(() => plane.close());

  it('tells of changes as info and of reads as debug, with the trace of the caller', async () => {
    const { api } = plane;
    await api.get('/clusters', traceparent(TRACES.read));
    await api.post('/clusters', { name: unique('logged') }, traceparent(TRACES.change));
    expect(answers(lines, '/api/v1/clusters')).toMatchObject([
      { level: 'debug', method: 'GET', status: 200, traceId: TRACES.read },
      { level: 'info', method: 'POST', status: 201, traceId: TRACES.change, operationId: 'createCluster' },
    ]);
  });

  it('names no trace where none came, or none that is valid', async () => {
    await plane.api.get('/role-catalog');
    await plane.api.get('/role-catalog', { traceparent: 'nonsense' });
    const of = answers(lines, '/api/v1/role-catalog');
    expect(of).toHaveLength(2);
    expect(of.some((line) => 'traceId' in line)).toBe(false);
  });

  it('tells of what strangers try as debug', async () => {
    await plane.api.as('fcp_nobody').post('/api-tokens', {});
    expect(answers(lines, '/api/v1/api-tokens')).toMatchObject([{ level: 'debug', status: 401 }]);
  });

  it('counts requests that wait apart from those that are timed', async () => {
    const { api } = plane;
    await api.get('/node-agents/me/snapshot?waitSeconds=5');
    await api.get('/node-agents/me/snapshot');
    const metrics = (await api.get('//metrics')).body as string;
    const labels = '{method="GET",route="/api/v1/node-agents/me/snapshot",status="403"} 1';
    expect(metrics).toContain(`http_held_requests_total${labels}`);
    expect(metrics).toContain(`http_request_duration_seconds_count${labels}`);
  });
});

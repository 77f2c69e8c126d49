import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as it came, with its attributes and those of its resource in plain form. */
export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  name: string;
  kind: number;
  /** 0: unset, 2: error. */
  status: number;
  attributes: Record<string, unknown>;
  resource: Record<string, unknown>;
  events: readonly string[];
}

/** Takes spans by OTLP over HTTP, in JSON. */
export interface OtlpReceiver {
  url: string;
  spans: readonly ReceivedSpan[];
  /** Resolves with the first span, of those that came and those to come, for which `condition` holds. */
  until(condition: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan>;
  close(): Promise<void>;
}

type Attribute = { key: string; value: Record<string, unknown> };
interface Sent {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  status?: { code?: number };
  attributes: Attribute[];
  events: { name: string }[];
}
interface Batch {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Sent[] }[] }[];
}

/** Starts a receiver on a free port. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const arrivals = new EventEmitter();
  // No connection is ended while the exporter is about to use it again.
  const server = createServer({ keepAliveTimeout: 3_600_000 }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const isTraces = request.url === '/v1/traces' && request.headers['content-type'] === 'application/json';
      if (isTraces) spans.push(...read(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Batch));
      arrivals.emit('spans');
      response.writeHead(isTraces ? 200 : 400, { 'content-type': 'application/json' }).end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    until: async (condition) => {
      for (;;) {
        const span = spans.find(condition);
        if (span !== undefined) return span;
        await once(arrivals, 'spans');
      }
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function read({ resourceSpans }: Batch): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap((scope) => scope.spans)
      .map(({ parentSpanId = '', traceState = '', status, attributes, events, ...span }) => ({
        ...span,
        parentSpanId,
        traceState,
        status: status?.code ?? 0,
        attributes: plain(attributes),
        resource: plain(resource.attributes),
        events: events.map((event) => event.name),
      })),
  );
}

function plain(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

/** Where a request stands in the trace of its caller, as the headers of W3C Trace Context tell it. */
export interface TraceParent {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** The caller's span: 16 lower-case hexadecimal digits, not all zero. */
  readonly spanId: string;
  /** Whether the caller records this trace. */
  readonly sampled: boolean;
  /** `tracestate` as sent: what the systems before this one noted for themselves. */
  readonly state: string | null;
}

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZEROS = /^0+$/;
const SAMPLED = 0x01;

/**
 * Reads `traceparent`. Of a later version what version 00 knows counts, as its specification asks.
 * @returns null when there is none, or none that is valid; `tracestate` then means nothing either
 */
export function parseTraceParent(traceparent: string | null, tracestate: string | null): TraceParent | null {
  const [, version, traceId = '', spanId = '', flags = '', rest] = FORM.exec(traceparent ?? '') ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0, state: tracestate };
}

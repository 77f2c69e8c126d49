import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseTraceParent } from './trace-parent.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('a traceparent', () => {
  it.each<[string, string, boolean]>([
    ['that is sampled', `00-${TRACE}-${SPAN}-01`, true],
    ['that is not sampled', `00-${TRACE}-${SPAN}-00`, false],
    ['with flags of later days', `00-${TRACE}-${SPAN}-ff`, true],
    ['with flags of later days, not sampled', `00-${TRACE}-${SPAN}-fe`, false],
    ['of a later version', `01-${TRACE}-${SPAN}-01`, true],
    ['of a later version that says more', `cc-${TRACE}-${SPAN}-01-what-comes`, true],
  ])('%s is honoured', (_, header, sampled) => {
    const expected = { traceId: TRACE, spanId: SPAN, sampled, state: null };
    expect(parseTraceParent(header, null)).toEqual(expected);
  });

  it.each<[string, string | null]>([
    ['that is absent', null],
    ['that is empty', ''],
    ['of the version that is none', `ff-${TRACE}-${SPAN}-01`],
    ['of version 00 that says more', `00-${TRACE}-${SPAN}-01-more`],
    ['of a later version whose flags do not end', `01-${TRACE}-${SPAN}-01more`],
    ['without a version', `${TRACE}-${SPAN}-01`],
    ['without flags', `00-${TRACE}-${SPAN}`],
    ['in upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['with other characters', `00-${TRACE.replace('4', 'g')}-${SPAN}-01`],
    ['with a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['with a span of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['with a short trace', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['with a long span', `00-${TRACE}-${SPAN}0-01`],
    ['with space around', ` 00-${TRACE}-${SPAN}-01`],
    ['with a line behind', `00-${TRACE}-${SPAN}-01\n`],
    ['that came twice', `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`],
  ])('%s is ignored, and tracestate with it', (_, header) => {
    expect(parseTraceParent(header, 'vendor=1')).toBeNull();
  });

  it('keeps the tracestate beside it', () => {
    expect(parseTraceParent(`00-${TRACE}-${SPAN}-01`, 'vendor=1,other=2')?.state).toBe('vendor=1,other=2');
  });

  it('never fails, whatever is sent', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseTraceParent(text, text)));
  });
});

interface Range {
  name: string;
  isRefused: boolean;
}

/**
 * Whether `accept` allows an answer of `type`, or of JSON where the operation names none. Of the ranges that fit, the
 * most specific one decides (RFC 9110 section 12.5.1). Who takes problem documents takes JSON.
 */
export function isAcceptable(accept: string | undefined, type = 'application/json'): boolean {
  if (accept === undefined || accept.trim() === '') return true;
  const ranges = accept.split(',').map(rangeOf);
  const family = `${type.slice(0, type.indexOf('/'))}/*`;
  for (const name of [type, 'application/problem+json', family, '*/*']) {
    const fitting = ranges.filter((range) => range.name === name);
    if (fitting.length > 0) return fitting.some((range) => !range.isRefused);
  }
  return false;
}

function rangeOf(text: string): Range {
  const [name = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  return { name, isRefused: parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter)) };
}

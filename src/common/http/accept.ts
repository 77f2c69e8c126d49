/** Whether `accept` allows an answer of `type`, or of JSON where the operation names none. */
export function isAcceptable(accept: string | undefined, type = 'application/json'): boolean {
  if (accept === undefined || accept.trim() === '') return true;
  const [family] = type.split('/', 1);
  const allowed = [type, `${family}/*`, '*/*', 'application/problem+json'];
  return accept.split(',').some((range) => {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return allowed.includes(name) && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

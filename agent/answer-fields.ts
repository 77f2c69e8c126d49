import { ApiRefusal } from './api-errors.js';

/** A JSON object as it came; members are read by the functions below. */
export type Fields = Readonly<Record<string, unknown>>;

/** @throws ApiRefusal when the answer is no JSON object: something else than the service is speaking */
export function fieldsOf(body: unknown, what: string): Fields {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields;
  throw unreadable(what);
}

/** @throws ApiRefusal when the member is absent or no text */
export function textField(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === 'string') return value;
  throw unreadable(`"${name}"`);
}

/** The member if it is text, else null. */
export function optionalText(fields: Fields, name: string): string | null {
  const value = fields[name];
  return typeof value === 'string' ? value : null;
}

/** The member if it is a finite number, else null. */
export function optionalNumber(fields: Fields, name: string): number | null {
  const value = fields[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function unreadable(what: string): ApiRefusal {
  return new ApiRefusal(200, 'answer_unreadable', `the answer has no usable ${what}; is this the right URL?`);
}

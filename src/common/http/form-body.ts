import { invalid } from '../errors/domain-error.js';

const forms = new WeakSet<object>();

/**
 * The fields of an `application/x-www-form-urlencoded` body.
 * @throws invalid when a field comes twice (RFC 6749 section 3.2)
 */
export function parseForm(text: string): Record<string, string> {
  const fields = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (fields.has(name)) throw invalid('invalid_request', 'The form has the same field twice.');
    fields.set(name, value);
  }
  const form = Object.fromEntries(fields);
  forms.add(form);
  return form;
}

/** Whether a parsed body came as a form: most operations take JSON alone. */
export function isForm(body: unknown): boolean {
  return typeof body === 'object' && body !== null && forms.has(body);
}

import { v7 } from 'uuid';

const UUID_FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A new id: UUIDv7, lower case. Ids made by one process sort in the order they were made. */
export function newId(): string {
  return v7();
}

/** Whether `text` has the form of a UUID of any version, in either case: what Postgres takes as `uuid`. */
export function isUuid(text: string): boolean {
  return UUID_FORM.test(text);
}

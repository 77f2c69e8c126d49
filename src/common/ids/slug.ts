import { isUuid } from './uuid.js';

const SLUG = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_SLUG_LENGTH = 63;

/** Whether `text` is a slug: a DNS label in lower case, and not of UUID form, since a path takes an id or a slug. */
export function isSlug(text: string): boolean {
  return SLUG.test(text) && !isUuid(text);
}

/** A slug derived from a name: accents dropped, everything else that is not a letter or digit of ASCII becomes a dash,
 *  cut to 63 characters. Null when nothing is left, or only the form of a UUID: the caller must then ask for a slug. */
export function slugFromName(name: string): string | null {
  const slug = name
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, MAX_SLUG_LENGTH)
    .replace(/-$/, '');
  return isSlug(slug) ? slug : null;
}

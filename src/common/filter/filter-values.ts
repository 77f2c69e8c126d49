const NUMBER = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const INSTANT = /^(\d{4}-\d{2}-\d{2})[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;
/** Postgres has no year 0, and JSON times have four digits. */
const FOUR_DIGIT_YEAR = /^(?!0000)\d{4}-/;

/** The number that a filter value says; null when it says none. */
export function readNumber(text: string): number | null {
  const value = NUMBER.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : null;
}

/** The instant of an RFC 3339 text, to the millisecond; null when it is none, or not in the years 1 to 9999. */
export function readInstant(text: string): Date | null {
  const match = INSTANT.exec(text);
  if (match === null || !isCalendarDate(match[1] ?? '')) return null;
  const instant = new Date(text.toUpperCase());
  return !Number.isNaN(instant.getTime()) && FOUR_DIGIT_YEAR.test(instant.toISOString()) ? instant : null;
}

/** Date takes 30 February for 2 March. */
function isCalendarDate(date: string): boolean {
  const midnight = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date);
}

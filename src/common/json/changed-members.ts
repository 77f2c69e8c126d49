import { canonicalJson } from './canonical-json.js';

/** The members in which `next` differs from `current`, as both have them, for an audit event; null when none does. */
export function changedMembers<T extends object>(
  current: T,
  next: T,
): { before: Partial<T>; after: Partial<T> } | null {
  const changed = (Object.keys(next) as (keyof T)[]).filter(
    (key) => canonicalJson(current[key] ?? null) !== canonicalJson(next[key] ?? null),
  );
  if (changed.length === 0) return null;
  const pick = (from: T) => Object.fromEntries(changed.map((key) => [key, from[key]])) as Partial<T>;
  return { before: pick(current), after: pick(next) };
}

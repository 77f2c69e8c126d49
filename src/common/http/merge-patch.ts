/** Applies a JSON merge patch (RFC 7396): members merge at every depth, null removes, anything else replaces. Neither
 *  argument is changed. Both are JSON values; call it with values of bounded depth, as `parseStrictJson` makes them. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged); // defines each member, so that a name like __proto__ stays a name
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

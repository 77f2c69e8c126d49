const LONE_SURROGATE = /\p{Surrogate}/gu;

/** A path into a JSON document as the URI fragment form of a JSON pointer (RFC 6901 section 6): `#/labels/a~1b`.
 *  The empty path is `#`, the whole document. A lone surrogate in a name is shown as U+FFFD. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return `#${path.map((step) => `/${escapeStep(String(step))}`).join('')}`;
}

function escapeStep(step: string): string {
  const escaped = step.replaceAll('~', '~0').replaceAll('/', '~1').replace(LONE_SURROGATE, '\ufffd');
  return encodeURI(escaped).replaceAll('#', '%23'); // encodeURI leaves the one delimiter a fragment cannot hold
}

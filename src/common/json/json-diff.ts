import { createPatch, type Operation, type Pointer } from 'rfc6902';
import { canonicalJson } from './canonical-json.js';

export type { Operation };

/** Cells of the table that finds the longest common subsequence of two arrays: 1,000 changed items on either side.
 *  Beyond it items are paired by position: still right, but an insertion then touches all that follow. */
const MAX_TABLE_CELLS = 1_000_000;

/** The RFC 6902 operations (add, remove, replace) that turn `before` into `after`, both JSON values (a Date is none);
 *  empty when they are equal. Items of arrays that did not change keep their place, so that one new item is one `add`.
 *  The operations share values with `after`. */
export function jsonDiff(before: unknown, after: unknown): Operation[] {
  return createPatch(before, after, diffArrays);
}

/** Takes the place of the package's array comparison, whose cost is the product of the lengths at every level. */
function diffArrays(before: unknown, after: unknown, pointer: Pointer): Operation[] | undefined {
  if (!Array.isArray(before) || !Array.isArray(after)) return undefined;
  const path = pointer.toString();
  const operations: Operation[] = [];
  let from = 0;
  let to = 0; // also the place in the array as patched so far
  for (const [keptFrom, keptTo] of [...keptItems(before, after), [before.length, after.length] as const]) {
    const removed = before.slice(from, keptFrom);
    const added = after.slice(to, keptTo);
    operations.push(...diffRun(removed, added, path, to));
    from = keptFrom + 1;
    to = keptTo + 1;
  }
  return operations;
}

/** Between two kept items: what stands at the same place is compared in depth, the rest is added or removed. */
function diffRun(
  removed: readonly unknown[],
  added: readonly unknown[],
  path: string,
  at: number,
): Operation[] {
  const paired = Math.min(removed.length, added.length);
  const operations = added.slice(0, paired).flatMap((value, index) =>
    jsonDiff(removed[index], value).map((operation) => ({
      ...operation,
      path: `${path}/${at + index}${operation.path}`,
    })),
  );
  for (let index = paired; index < removed.length; index += 1) {
    operations.push({ op: 'remove', path: `${path}/${at + paired}` });
  }
  for (let index = paired; index < added.length; index += 1) {
    operations.push({ op: 'add', path: `${path}/${at + index}`, value: added[index] });
  }
  return operations;
}

/** Pairs of places, growing in both arrays, that hold equal items: common start, longest common middle, common end. */
function keptItems(before: readonly unknown[], after: readonly unknown[]): [number, number][] {
  const left = before.map(canonicalJson);
  const right = after.map(canonicalJson);
  const shorter = Math.min(left.length, right.length);
  let start = 0;
  while (start < shorter && left[start] === right[start]) start += 1;
  let end = 0;
  while (end < shorter - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const kept: [number, number][] = [];
  for (let index = 0; index < start; index += 1) kept.push([index, index]);
  const middle = commonSubsequence(
    left.slice(start, left.length - end),
    right.slice(start, right.length - end),
  );
  for (const [from, to] of middle) kept.push([start + from, start + to]);
  for (let back = end; back > 0; back -= 1) kept.push([left.length - back, right.length - back]);
  return kept;
}

function commonSubsequence(left: readonly string[], right: readonly string[]): [number, number][] {
  const width = right.length + 1;
  if (left.length * right.length > MAX_TABLE_CELLS) return [];
  // longest[i * width + j]: length of the longest common subsequence of left from i and right from j.
  const longest = new Uint32Array((left.length + 1) * width);
  const cell = (i: number, j: number) => longest[i * width + j] ?? 0;
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      const equal = left[i] === right[j];
      longest[i * width + j] = equal ? cell(i + 1, j + 1) + 1 : Math.max(cell(i + 1, j), cell(i, j + 1));
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    if (left[i] === right[j]) pairs.push([i++, j++]);
    else if (cell(i + 1, j) >= cell(i, j + 1)) i += 1;
    else j += 1;
  }
  return pairs;
}

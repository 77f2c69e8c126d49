import { describe, expect, it } from '@jest/globals';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import { isUsableEd25519 } from './ed25519-point.js';

const P = 2n ** 255n - 19n;
const mod = (value: bigint) => ((value % P) + P) % P;
function power(base: bigint, exponent: bigint): bigint {
  let [result, square] = [1n, mod(base)];
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = mod(result * square);
    square = mod(square * square);
  }
  return result;
}
const inverse = (value: bigint) => power(value, P - 2n);
const D = mod(-121665n * inverse(121666n));

type Point = { x: bigint; y: bigint };
const add = (a: Point, b: Point): Point => {
  const t = mod(D * a.x * b.x * a.y * b.y);
  return {
    x: mod((a.x * b.y + b.x * a.y) * inverse(1n + t)),
    y: mod((a.y * b.y + a.x * b.x) * inverse(1n - t)),
  };
};
const double = (point: Point) => add(point, point);

/** The point with this y, either of the two; null when there is none. RFC 8032 section 5.1.3. */
function pointAt(y: bigint): Point | null {
  const [u, v] = [mod(y * y - 1n), mod(D * y * y + 1n)];
  const root = mod(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  if (mod(v * root * root) === u) return { x: root, y };
  const other = mod(root * power(2n, (P - 1n) / 4n));
  return mod(v * other * other) === u ? { x: other, y } : null;
}

const encoded = (value: bigint, sign = 0): Buffer => {
  const bytes = Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();
  bytes[31] = (bytes[31] ?? 0) | (sign << 7);
  return bytes;
};

function times(scalar: bigint, point: Point): Point {
  let [result, doubled] = [{ x: 0n, y: 1n }, point];
  for (let left = scalar; left > 0n; left >>= 1n) {
    if (left & 1n) result = add(result, doubled);
    doubled = double(doubled);
  }
  return result;
}

/** Order of the large group: what is left of a point after so many times of it has a small order. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The y of every point of small order: the multiples of one of order 8. */
function smallOrder(): bigint[] {
  for (let y = 2n; ; y += 1n) {
    const point = pointAt(y);
    const rest = point === null ? null : times(L, point);
    if (rest === null || double(double(rest)).y === 1n) continue;
    return [...new Set(Array.from({ length: 8 }, (_, multiple) => times(BigInt(multiple), rest).y))];
  }
}

describe('isUsableEd25519', () => {
  it('takes keys as they are made', () => {
    for (let count = 0; count < 200; count += 1) {
      const { x = '' } = newKeyPair('ed25519').publicKey.export({ format: 'jwk' });
      expect(isUsableEd25519(Buffer.from(x, 'base64url'))).toBe(true);
    }
  });

  it('takes no point of small order, with either sign', () => {
    const points = smallOrder();
    // Orders 1, 2, 4 (two points, one y) and 8 (four points, two y).
    expect(points).toHaveLength(5);
    for (const y of points) for (const sign of [0, 1]) expect(isUsableEd25519(encoded(y, sign))).toBe(false);
  });

  it('takes no number that the prime has a smaller one for', () => {
    for (let beyond = P; beyond < 2n ** 255n; beyond += 1n)
      for (const sign of [0, 1]) expect(isUsableEd25519(encoded(beyond, sign))).toBe(false);
    expect(isUsableEd25519(encoded(P - 3n))).toBe(true);
  });
});

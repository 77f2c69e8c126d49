/** So many percent of `count`, rounded down. */
export function percentRoundedDown(percent: number, count: number): number {
  const { part, whole } = exactly(percent, count);
  return Number(part / whole);
}

/** So many percent of `count`, rounded up. */
export function percentRoundedUp(percent: number, count: number): number {
  const { part, whole } = exactly(percent, count);
  return Number((part + whole - 1n) / whole);
}

/** By the decimal as it was written: 16.1 percent of 1,000 is 161, and a hair more in binary fractions. */
function exactly(percent: number, count: number): { part: bigint; whole: bigint } {
  const [mantissa = '0', exponent = '0'] = percent.toExponential().split('e');
  const [units = '0', decimals = ''] = mantissa.split('.');
  // Never below zero, as no percentage is above 100.
  const places = decimals.length - Number(exponent) + 2;
  return { part: BigInt(units + decimals) * BigInt(count), whole: 10n ** BigInt(places) };
}

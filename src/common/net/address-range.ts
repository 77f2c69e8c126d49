import { BlockList, isIP, SocketAddress } from 'node:net';

/** A block of IP addresses. */
export interface AddressRange {
  family: 'ipv4' | 'ipv6';
  /** The first address, in the form that everybody writes. */
  address: string;
  prefix: number;
}

/** A range in CIDR notation, or what is wrong with the text. Bits beyond the prefix are refused: who writes them meant
 *  another range than the one that would count. */
export function readAddressRange(text: string): AddressRange | { fault: string } {
  const [, address = '', prefixText = ''] = /^([0-9A-Fa-f.:]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0) return { fault: 'Not a range in CIDR notation, such as 10.0.0.0/8 or 192.0.2.7/32.' };
  const bits = version === 4 ? 32 : 128;
  const prefix = Number(prefixText);
  if (prefix > bits) return { fault: `The prefix of such a range is at most ${bits}.` };
  const bytes = version === 4 ? address.split('.').map(Number) : ipv6Bytes(address);
  if (version === 6 && isMapped(bytes)) return { fault: 'Write an IPv4 range as IPv4.' };
  if (hasBitsBeyond(bytes, prefix)) return { fault: `The address has bits beyond /${prefix}.` };
  const family = version === 4 ? 'ipv4' : 'ipv6';
  return { family, address: new SocketAddress({ address, family }).address, prefix };
}

/** The range as text, the same for all spellings of it. */
export function addressRangeText({ address, prefix }: AddressRange): string {
  return `${address}/${prefix}`;
}

/** Whether `ip` lies in one of `ranges`, given as text; an IPv4 address may come in its IPv6-mapped form. */
export function isInRanges(ip: string, ranges: readonly string[]): boolean {
  const address = ip.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  const version = isIP(address);
  if (version === 0) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  for (const text of ranges) {
    const range = readAddressRange(text);
    // Node takes ::/0 to hold every IPv4 address too; here each family stands for itself.
    if (!('fault' in range) && range.family === family) list.addSubnet(range.address, range.prefix, family);
  }
  return list.check(address, family);
}

function ipv6Bytes(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const left = groupBytes(head);
  const right = groupBytes(tail ?? '');
  return [...left, ...new Array<number>(16 - left.length - right.length).fill(0), ...right];
}

function groupBytes(groups: string): number[] {
  if (groups === '') return [];
  return groups.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function isMapped(bytes: readonly number[]): boolean {
  return bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function hasBitsBeyond(bytes: readonly number[], prefix: number): boolean {
  return bytes.some((byte, index) => {
    const kept = Math.min(8, Math.max(0, prefix - index * 8));
    return (byte & (0xff >> kept)) !== 0;
  });
}

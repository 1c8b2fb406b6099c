import ipaddr from 'ipaddr.js';

/** Addresses of instance metadata services: whoever reaches them may read cloud credentials. */
const METADATA_ADDRESSES = new Set(['fd00:ec2::254', '100.100.100.200', '168.63.129.16', '192.0.0.192']);

const REFUSED: Readonly<Record<string, string>> = {
  linkLocal: 'is a link-local address, where cloud metadata services live',
  multicast: 'is a multicast address',
  broadcast: 'is the broadcast address',
  unspecified: 'is the unspecified address, which names no machine',
  teredo: 'is a Teredo address',
  reserved: 'is a reserved address',
};

/**
 * Why a node must not be reached at this IP address, as the end of a sentence that starts with the address;
 * undefined where it may. IPv4 addresses wrapped in IPv6 are judged as what they lead to.
 */
export function destinationProblem(
  ip: string,
  { allowLoopback }: { allowLoopback: boolean },
): string | undefined {
  const parsed = parseIp(ip);
  if (parsed === undefined) return 'is not an IP address';
  const address = unwrap(parsed);
  if (METADATA_ADDRESSES.has(address.toString())) return 'is the address of a cloud metadata service';
  const range = address.range();
  if (range === 'loopback') {
    return allowLoopback
      ? undefined
      : 'is a loopback address, but the configured name is not a loopback name';
  }
  // Documentation and benchmarking networks count as reserved but do no harm; people use them in labs.
  if (range === 'reserved' && !isClassE(address)) return undefined;
  return REFUSED[range];
}

/** Whether a node's configured host says by itself that it means this machine. */
export function isLoopbackHost(host: string): boolean {
  const ip = parseIp(host);
  if (ip !== undefined) return unwrap(ip).range() === 'loopback';
  const name = host.toLowerCase().replace(/\.$/, '');
  return name === 'localhost' || name.endsWith('.localhost');
}

/** One spelling for each IP address, so that two can be compared; undefined where it is none. */
export function canonicalIp(ip: string): string | undefined {
  const parsed = parseIp(ip);
  return parsed === undefined ? undefined : unwrap(parsed).toString();
}

function parseIp(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  // Four decimal parts only: older spellings (octal, one number) mean different addresses to different programs.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text)) return ipaddr.IPv6.parse(text);
  return undefined;
}

/** The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address. */
function unwrap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address instanceof ipaddr.IPv4) return address;
  const parts = address.parts;
  const low = ((parts[6] ?? 0) << 16) | (parts[7] ?? 0);
  const isCompatible = parts.slice(0, 6).every((part) => part === 0) && low !== 0 && low !== 1;
  const isNat64 = parts[0] === 0x64 && parts[1] === 0xff9b && parts.slice(2, 6).every((part) => part === 0);
  if (address.isIPv4MappedAddress() || isCompatible || isNat64) return fromNumber(low);
  if (parts[0] === 0x2002) return fromNumber(((parts[1] ?? 0) << 16) | (parts[2] ?? 0));
  return address;
}

function fromNumber(value: number): ipaddr.IPv4 {
  return new ipaddr.IPv4([(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
}

function isClassE(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address instanceof ipaddr.IPv4 && (address.octets[0] ?? 0) >= 240;
}

/** An address that this process listens on. */
export interface Listener {
  readonly host: string;
  readonly port: number;
}

/**
 * Whether `ip:port` is one of our own listeners, so that a request sent there would come back to us.
 * `localIps` are the addresses of this machine's interfaces: a listener on all interfaces has them all.
 */
export function isOwnAddress(
  ip: string,
  port: number,
  listeners: readonly Listener[],
  localIps: readonly string[],
): boolean {
  const target = canonicalIp(ip);
  if (target === undefined) return false;
  return listeners.some((listener) => {
    if (listener.port !== port || port === 0) return false;
    const host = canonicalIp(listener.host);
    if (host !== '0.0.0.0' && host !== '::') return host === target;
    return isLoopbackHost(target) || localIps.some((local) => canonicalIp(local) === target);
  });
}

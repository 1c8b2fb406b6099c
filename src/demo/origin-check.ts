import { isIP } from 'node:net';

/** Whether Ollama on a loopback address answers a request with this Host header. */
export function isHostAllowed(header: string | undefined): boolean {
  const host = hostOf(header ?? '');
  if (host === '' || host === 'localhost') return true;
  if (isIP(host) !== 0) return isLocalAddress(host);
  return ['.localhost', '.local', '.internal'].some((suffix) => host.endsWith(suffix));
}

/** Whether a page from this origin may call; requests without one always may. */
export function isOriginAllowed(origin: string | undefined): boolean {
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const { protocol, hostname } = new URL(origin);
  if (['app:', 'file:', 'tauri:'].includes(protocol)) return true;
  return ['localhost', '127.0.0.1', '0.0.0.0', '[::1]'].includes(hostname);
}

function hostOf(header: string): string {
  const ipv6 = /^\[(.+)\](?::\d+)?$/.exec(header)?.[1];
  return (ipv6 ?? header.replace(/:\d+$/, '')).toLowerCase();
}

function isLocalAddress(address: string): boolean {
  if (isIP(address) === 6) return address === '::1' || address === '::' || /^f[cd]/i.test(address);
  return /^(?:0\.0\.0\.0|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)/.test(address);
}

import ipaddr from 'ipaddr.js';

/** What to tell the operator when the admin interface listens beyond this machine; undefined when it does not. */
export function exposureWarning(host: string): string | undefined {
  if (isLoopback(host)) return undefined;
  return (
    `the admin interface listens on ${host}: whoever reaches it reads node addresses, models and decisions ` +
    'without a password; bind it to 127.0.0.1 or shield it with a firewall'
  );
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  return ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback';
}

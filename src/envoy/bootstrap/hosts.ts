import type { Message } from './message.ts';

/**
 * Regular expression of the Host values that Ollama accepts on a loopback listener: this machine, private
 * addresses and local names. Anything else is a public name that was made to point here (DNS rebinding).
 */
export function localHosts(hostnames: readonly string[]): string {
  const octet = '[0-9]{1,3}';
  const names = hostnames.map((name) => name.toLowerCase().replace(/[^a-z0-9-]/g, '\\$&'));
  const hosts = [
    'localhost',
    ...names,
    '[a-z0-9_.-]+\\.(localhost|local|internal)',
    `127(\\.${octet}){3}`,
    `10(\\.${octet}){3}`,
    `172\\.(1[6-9]|2[0-9]|3[01])(\\.${octet}){2}`,
    `192\\.168(\\.${octet}){2}`,
    '0\\.0\\.0\\.0',
    '\\[(::1?|::ffff:127\\.[0-9.]+|f[cd][0-9a-f:]+)\\]',
  ];
  return `(?i)(${hosts.join('|')})(:[0-9]{1,5})?`;
}

/** Matches requests whose Host is none of them. */
export function foreignHost(hostnames: readonly string[]): Message {
  return {
    name: ':authority',
    string_match: { safe_regex: { regex: localHosts(hostnames) } },
    invert_match: true,
  };
}

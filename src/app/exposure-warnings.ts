import type { Config } from '../config/config.ts';
import { isLoopbackHost } from './destination.ts';

type Exposed = Pick<Config, 'admin' | 'adminToken' | 'grpc' | 'extProc' | 'store' | 'agents' | 'discovery'>;

/** What to tell the operator of what others could read or change: open interfaces, unprotected ways, much trust. */
export function exposureWarnings(config: Exposed): string[] {
  const { admin, adminToken, grpc, extProc, store, agents, discovery } = config;
  const warnings: string[] = [];
  if (!isLoopbackHost(admin.host)) {
    warnings.push(
      `the admin interface listens on ${admin.host}: whoever reaches it reads node addresses, models and decisions ` +
        `without a password${adminToken === undefined ? '' : ' (the admin token guards changes only)'}; ` +
        'bind it to 127.0.0.1 or shield it with a firewall',
    );
  }
  if (grpc?.kind === 'tcp' && !isLoopbackHost(grpc.host)) {
    warnings.push(
      `the gRPC interface listens on ${grpc.host}${extProc.tls === 'off' ? ' without TLS' : ''}: ` +
        "whoever reaches it reads the nodes' tokens and can feign traffic" +
        (extProc.tls === 'off'
          ? ', whoever stands on the way reads prompts and decides where requests go; set "extProc.tls", '
          : ' (TLS does not tell who calls); ') +
        'bind it to 127.0.0.1 or a Unix socket, or shield it so that only your Envoy reaches it',
    );
  }
  if (agents.listen !== undefined && !isLoopbackHost(agents.listen.host) && agents.tlsCert === undefined) {
    warnings.push(
      `agents report to ${agents.listen.host} without TLS: their reports are signed, but whoever listens on the way ` +
        'reads them; give "agents.tlsCert" and "agents.tlsKey", or keep to a network that you trust',
    );
  }
  if (discovery.trust === 'lan') {
    warnings.push(
      'discovery.trust is lan: whoever is in the local network can join as a node and then reads the prompts sent to it; ' +
        'with "token" or "manual" nobody joins unseen',
    );
  }
  warnings.push(...storeWarnings(store));
  return warnings;
}

function storeWarnings({ kind, url, password, tls, sentinels, clusterNodes }: Config['store']): string[] {
  if (kind === 'memory') return [];
  const hosts = [
    ...(url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/g, '')]),
    ...[...sentinels, ...clusterNodes].map(({ host }) => host),
  ];
  const far = hosts.find((host) => !isLoopbackHost(host));
  if (far === undefined) return [];
  const warnings: string[] = [];
  if (password === undefined) {
    warnings.push(
      `Redis at ${far} is used without a password: whoever reaches it can feign leases, drains and nodes; ` +
        'give it an ACL user of its own (docs/redis.md) and set "store.username" and "store.passwordFile"',
    );
  }
  if (!tls) {
    warnings.push(
      `Redis at ${far} is reached without TLS: whoever listens on the way reads the fleet state` +
        `${password === undefined ? '' : ' and the password'}; write rediss:// or "tls: true", or keep to a network that you trust`,
    );
  }
  return warnings;
}

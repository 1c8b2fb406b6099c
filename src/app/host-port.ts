/** A host as it stands in a URL: IPv6 in brackets. */
export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** `host:port`, IPv6 in brackets: how Envoy, gRPC and people write an address. */
export function formatHostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${urlHost(host)}:${port}`;
}

/** A node's URL with its port, whatever the scheme's own is. */
export function formatOrigin(url: {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
}): string {
  return `${url.scheme}://${formatHostPort(url)}`;
}

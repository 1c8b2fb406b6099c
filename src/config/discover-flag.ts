/** A discovery source as `--discover` and WARMPATH_DISCOVERY_SOURCES name it, before validation. */
export type DiscoverFlag = Readonly<Record<string, string>>;

const DETAIL: Readonly<Record<string, string>> = {
  dns: 'name',
  localhost: 'ports',
  file: 'path',
  kubernetes: 'selector',
};

/** `mdns`, `localhost`, `localhost:24000-24100`, `dns:ollama.lan`, `file:nodes.yaml`, `kubernetes:app=ollama`. */
export function parseDiscoverFlag(text: string): DiscoverFlag {
  const [, kind = '', , rest] = /^([^:]*)(:(.*))?$/s.exec(text.trim()) ?? [];
  const detail = DETAIL[kind];
  if (rest === undefined) return { kind };
  // What belongs to no kind is left where the schema finds it.
  return {
    kind: detail === undefined ? text.trim() : kind,
    ...(detail === undefined ? {} : { [detail]: rest }),
  };
}

/** `host:port`, IPv6 in brackets, as WARMPATH_STORE_SENTINELS names them, before validation. */
export function parseEndpointFlag(text: string): { host: string; port: number } | string {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  return match === null ? text : { host: match[1] ?? match[2] ?? '', port: Number(match[3]) };
}

/** A discovery source as `--discover` and WARMPATH_DISCOVERY_SOURCES name it, before validation. */
export type DiscoverFlag = Readonly<Record<string, string>>;

const DETAIL: Readonly<Record<string, string>> = {
  dns: 'name',
  localhost: 'ports',
  file: 'path',
  kubernetes: 'selector',
  inferencepool: 'name',
};

/**
 * `mdns`, `localhost`, `localhost:24000-24100`, `dns:ollama.lan`, `file:nodes.yaml`, `kubernetes:app=ollama`,
 * `inferencepool:ollama` or, in another namespace than the default, `inferencepool:ai/ollama`.
 */
export function parseDiscoverFlag(text: string): DiscoverFlag {
  const [, kind = '', , rest] = /^([^:]*)(:(.*))?$/s.exec(text.trim()) ?? [];
  const detail = DETAIL[kind];
  if (rest === undefined) return { kind };
  const slash = rest.indexOf('/');
  if (kind === 'inferencepool' && slash !== -1)
    return { kind, namespace: rest.slice(0, slash), name: rest.slice(slash + 1) };
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

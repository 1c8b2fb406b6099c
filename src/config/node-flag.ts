/** A node as `--node` and WARMPATH_NODES name it, before validation. */
export interface NodeFlag {
  readonly name?: string;
  readonly url: string;
}

/** Splits `NAME=URL`; without a name, or with an `=` that belongs to the URL, all of it is the URL. */
export function parseNodeFlag(text: string): NodeFlag {
  const trimmed = text.trim();
  const at = trimmed.indexOf('=');
  const scheme = trimmed.indexOf('://');
  if (at === -1 || (scheme !== -1 && scheme < at)) return { url: withScheme(trimmed) };
  return { name: trimmed.slice(0, at).trim(), url: withScheme(trimmed.slice(at + 1).trim()) };
}

/** `gpu1` and `gpu1:11434` on the command line mean http. */
function withScheme(url: string): string {
  return url === '' || url.includes('://') ? url : `http://${url}`;
}

/** The variables of Ollama that are read; no other leaves the place where it was found. */
const KNOWN = [
  'OLLAMA_NUM_PARALLEL',
  'OLLAMA_MAX_LOADED_MODELS',
  'OLLAMA_MAX_QUEUE',
  'OLLAMA_MODELS',
  'OLLAMA_HOST',
  'CUDA_VISIBLE_DEVICES',
  'HIP_VISIBLE_DEVICES',
  'ROCR_VISIBLE_DEVICES',
] as const;
export type OllamaVariable = (typeof KNOWN)[number];
export type OllamaEnvironment = { readonly [Name in OllamaVariable]?: string };

function pick(pairs: Iterable<readonly [string, string]>): OllamaEnvironment {
  const known: ReadonlySet<string> = new Set(KNOWN);
  return Object.fromEntries([...pairs].filter(([name]) => known.has(name)));
}

function pair(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1).slice(0, 4_096)];
}

/** /proc/PID/environ: entries end with NUL. */
export function parseProcEnvironment(text: string): OllamaEnvironment {
  return pick(text.split('\0').map(pair));
}

/** A file of KEY=VALUE lines as systemd's EnvironmentFile and Docker's --env-file read it. */
export function parseEnvironmentFile(text: string): OllamaEnvironment {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith(';'));
  return pick(
    lines.map((line) => {
      const [name, value] = pair(line.replace(/^export\s+/, ''));
      return [name.trim(), unquote(value.trim())] as const;
    }),
  );
}

/** The lines `Environment=A=1 "B=x y"` of `systemctl show`. */
export function parseSystemdEnvironment(text: string): OllamaEnvironment {
  const lines = text.split('\n').filter((line) => line.startsWith('Environment='));
  const words = lines.flatMap((line) => line.slice('Environment='.length).match(WORD) ?? []);
  return pick(words.map((word) => pair(unquote(word.startsWith('$') ? word.slice(1) : word))));
}

/** A word, or one in quotes with escaped quotes inside. */
const WORD = /\$?"(?:[^"\\]|\\.)*"|\$?'(?:[^'\\]|\\.)*'|\S+/g;

function unquote(text: string): string {
  const quote = text[0];
  if (text.length < 2 || (quote !== '"' && quote !== "'") || text.at(-1) !== quote) return text;
  return text.slice(1, -1).replace(/\\(["'\\$`])/g, '$1');
}

export interface ServiceSettings {
  readonly parallel: number | undefined;
  readonly maxLoadedModels: number | undefined;
  readonly maxQueue: number | undefined;
}

/** What the environment says of itself; defaults differ between versions of Ollama and are not guessed. */
export function settingsOf(env: OllamaEnvironment): ServiceSettings {
  return {
    // 0 stands for "Ollama decides".
    parallel: whole(env.OLLAMA_NUM_PARALLEL, 1, 4_096),
    maxLoadedModels: whole(env.OLLAMA_MAX_LOADED_MODELS, 1, 4_096),
    maxQueue: whole(env.OLLAMA_MAX_QUEUE, 1, 1_000_000),
  };
}

function whole(text: string | undefined, min: number, max: number): number | undefined {
  // Ollama takes quotes and blanks off as well.
  const clean = text
    ?.trim()
    .replace(/^(["'])(.*)\1$/, '$2')
    .trim();
  if (clean === undefined || !/^\d{1,7}$/.test(clean)) return undefined;
  const value = Number(clean);
  return value >= min && value <= max ? value : undefined;
}

/** Where OLLAMA_HOST makes it listen; the text may be `host`, `host:port`, `:port` or a URL. */
export function listenAddress(text: string | undefined): { readonly host: string; readonly port: number } {
  const clean = (text ?? '').trim().replace(/^(["'])(.*)\1$/, '$2');
  const match = /^(?:(https?):\/\/)?(\[[0-9a-f:.%a-z]*\]|[^:/[\]]*)(?::(\d{1,5}))?(?:\/.*)?$/i.exec(clean);
  // A port alone means every address.
  const noHost = match?.[3] === undefined ? '127.0.0.1' : '0.0.0.0';
  const host = match?.[2]?.replace(/^\[|\]$/g, '') || noHost;
  const schemePort = match?.[1] === 'http' ? 80 : match?.[1] === 'https' ? 443 : 11_434;
  const port = match?.[3] === undefined ? schemePort : Number(match[3]);
  return { host, port: port >= 1 && port <= 65_535 ? port : 11_434 };
}

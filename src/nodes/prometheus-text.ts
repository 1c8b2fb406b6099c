export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const MAX_LABELS = 64;
const MAX_LINE = 16 * 1024;
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?/y;
const VALUE = /^\s+([+-]?(?:Inf|NaN|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))(?:\s+-?\d+)?\s*(?:#.*)?$/;

/**
 * Samples of Prometheus's text format (and OpenMetrics's) whose names are wanted, at most `max`. Lines that are not as they
 * should be are skipped: what else an exporter says is not our concern. Values that are no finite number are left out.
 */
export function parseSamples(text: string, isWanted: (name: string) => boolean, max: number): Sample[] {
  const samples: Sample[] = [];
  let start = 0;
  while (start < text.length && samples.length < max) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const line = end - start > MAX_LINE ? '' : text.slice(start, end).trimStart();
    start = end + 1;
    const name = line.startsWith('#') ? undefined : NAME.exec(line)?.[0];
    if (name === undefined || !isWanted(name)) continue;
    const sample = parseSample(name, line.slice(name.length));
    if (sample !== undefined) samples.push(sample);
  }
  return samples;
}

function parseSample(name: string, rest: string): Sample | undefined {
  const labels = new Map<string, string>();
  let at = 0;
  if (rest.startsWith('{')) {
    LABEL.lastIndex = 1;
    at = 1;
    for (let match = LABEL.exec(rest); match !== null; match = LABEL.exec(rest)) {
      if (labels.size >= MAX_LABELS) return undefined;
      labels.set(match[1] ?? '', unescaped(match[2] ?? ''));
      at = LABEL.lastIndex;
    }
    while (rest[at] === ' ') at++;
    if (rest[at] !== '}') return undefined;
    at++;
  }
  const value = Number(VALUE.exec(rest.slice(at).replace(/^(?=\S)/, at > 0 ? ' ' : ''))?.[1] ?? Number.NaN);
  return Number.isFinite(value) ? { name, labels, value } : undefined;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
}

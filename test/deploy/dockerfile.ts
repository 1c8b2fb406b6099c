import { readFileSync } from 'node:fs';

export interface Copy {
  /** A stage or an image; undefined: the build context. */
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

export interface Stage {
  readonly name: string | undefined;
  readonly base: string;
  readonly copies: readonly Copy[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly user: string | undefined;
  readonly env: Readonly<Record<string, string>>;
}

/** The stages of a Dockerfile, as far as our own two use its language. */
export function readDockerfile(path: string): Stage[] {
  const lines = readFileSync(path, 'utf8')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => /^[A-Z]+ /.test(line));
  const starts = lines.flatMap((line, index) => (line.startsWith('FROM ') ? [index] : []));
  return starts.map((start, index) => readStage(lines.slice(start, starts[index + 1])));
}

function readStage([from = '', ...lines]: readonly string[]): Stage {
  const [, base = '', name] = /^FROM (\S+)(?: AS (\S+))?$/.exec(from) ?? [];
  const all = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const list = (word: string): string[] => JSON.parse(all(word).at(-1) ?? '[]');
  return {
    name,
    base,
    copies: all('COPY').map(readCopy),
    entrypoint: list('ENTRYPOINT'),
    cmd: list('CMD'),
    user: all('USER').at(-1),
    env: Object.fromEntries(all('ENV').flatMap((line) => line.split(' ').map((pair) => pair.split('=')))),
  };
}

function readCopy(line: string): Copy {
  const words = line.split(/\s+/);
  const paths = words.filter((word) => !word.startsWith('--'));
  return {
    from: words.find((word) => word.startsWith('--from='))?.slice('--from='.length),
    sources: paths.slice(0, -1),
    target: paths.at(-1) ?? '',
  };
}

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const src = resolve(import.meta.dirname, '../../src');
const PURE = ['request', 'fleet', 'routing', 'waiting'];
/** What each folder may import besides itself. Types of config and telemetry are open to all. */
const ALLOWED: Record<string, readonly string[]> = {
  request: PURE,
  fleet: PURE,
  routing: PURE,
  waiting: PURE,
  app: [...PURE, 'store/contract'],
  store: [...PURE, 'app'],
  nodes: [...PURE, 'app'],
  agent: [...PURE, 'app'],
  discovery: [...PURE, 'app'],
  envoy: [...PURE, 'app'],
  api: [...PURE, 'app'],
  config: [...PURE, 'app'],
  telemetry: [...PURE, 'app'],
  demo: ['app'],
  simulate: [...PURE, 'app'],
  // Knows nothing of Warmpath: it tries any endpoint picker.
  conformance: [],
};
const OPEN_TYPES = ['config', 'telemetry'];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('/gen'))
    .map((entry) => join(entry.parentPath, entry.name));
}

function imports(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  return [
    ...text.matchAll(/(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)'|import\(\s*'([^']+)'/g),
  ].map((match) => {
    const specifier = match[2] ?? match[3] ?? '';
    const to = specifier.startsWith('.') ? relative(src, resolve(dirname(file), specifier)) : specifier;
    return { from: relative(src, file), to, isTypeOnly: match[1] !== undefined };
  });
}

const all = sources(src).flatMap(imports);
const folder = (path: string) => path.split('/')[0] ?? '';

describe('dependency direction', () => {
  it('sees the imports at all', () => {
    expect(all.length).toBeGreaterThan(100);
  });

  it.each(Object.keys(ALLOWED))('%s imports only what lies further in', (name) => {
    const wrong = all
      .filter((i) => i.from.startsWith(`${name}/`) && i.to.includes('/') && i.to.endsWith('.ts'))
      .filter((i) => folder(i.to) !== name)
      .filter((i) => !(i.isTypeOnly && OPEN_TYPES.includes(folder(i.to))))
      .filter(
        (i) =>
          !(ALLOWED[name] ?? []).some(
            (allowed) => i.to.startsWith(`${allowed}/`) || i.to.startsWith(`${allowed}.`),
          ),
      );
    expect(wrong).toEqual([]);
  });

  it('keeps the core free of packages and Node.js modules', () => {
    const wrong = all.filter((i) => PURE.includes(folder(i.from)) && !i.to.endsWith('.ts'));
    expect(wrong).toEqual([]);
  });
});

describe('determinism', () => {
  it.each(PURE)('%s reads no clock and throws no dice', (name) => {
    const wrong = sources(join(src, name)).filter((file) =>
      /\b(Date\.now|new Date\(\)|performance\.now|setTimeout|setInterval|Math\.random|console\.)/.test(
        code(file),
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe('size', () => {
  it('keeps every source file under 400 lines', () => {
    const long = sources(src).filter((file) => readFileSync(file, 'utf8').split('\n').length > 400);
    expect(long).toEqual([]);
  });
});

/** The file's text without comments. */
function code(file: string): string {
  return readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
}

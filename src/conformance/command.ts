import { CASES } from './cases/all.ts';
import { type RunOptions, readOptions, USAGE, UsageError } from './options.ts';
import { Picker, saidPicked } from './picker.ts';
import { caseLines, countResults, summary } from './report.ts';
import { type CaseResult, runCases } from './run.ts';

const EXIT = { conforms: 0, doesNot: 1, usage: 2 } as const;

/** Reads the arguments, tries the cases, prints; answers the exit code. `USAGE` says more. */
export async function runConformance(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options === 'help') return say(USAGE);
    if (options === 'list') return say(CASES.map(listLine).join(''));
    return await run(options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return EXIT.usage;
  }
}

async function run({ picker: options, only, isJson }: RunOptions): Promise<number> {
  const cases = CASES.filter(({ id }) => only.length === 0 || only.some((each) => isNamed(id, each)));
  if (cases.length === 0) throw new UsageError(`there is no case ${only.join(' or ')}: see --list`);
  const picker = new Picker(options);
  const problem = await firstLook(picker);
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`);
    return EXIT.usage;
  }
  const print = (result: CaseResult): void => {
    if (!isJson) process.stdout.write(caseLines(result));
  };
  const results = await runCases(picker, cases, print);
  const counts = countResults(results);
  process.stdout.write(
    isJson ? `${JSON.stringify({ counts, cases: results }, null, 2)}\n` : summary(results),
  );
  return counts.failedMust > 0 ? EXIT.doesNot : EXIT.conforms;
}

/** By its id, or by its group: `DUP` for `DUP-1` and so on. */
function isNamed(id: string, name: string): boolean {
  return id === name || id.startsWith(`${name}-`);
}

/** Every case rests on an ordinary request: what refuses that one says more than sixty failures. */
async function firstLook(picker: Picker): Promise<string | undefined> {
  const { host, port, isTls } = picker.options.target;
  try {
    const picked = await picker.pick();
    if (picked.kind !== 'refused' || picked.status === 503) return undefined;
    return `the picker refuses an ordinary request for "${picker.options.model}" (${saidPicked(picked)}): name a model that it knows with --model`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const hint = isTls ? 'does it speak TLS?' : 'if it speaks TLS, give --tls';
    return `no picker answers at ${host}:${port} (${reason}); ${hint}`;
  } finally {
    picker.disconnect();
  }
}

function listLine({ id, level, title, source }: (typeof CASES)[number]): string {
  return `${id.padEnd(7)} ${level.padEnd(7)} ${title}\n${' '.repeat(16)}${source}\n`;
}

function say(text: string): number {
  process.stdout.write(text);
  return EXIT.conforms;
}

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { SIM_POLICIES, simulate } from '../../simulate/policies.ts';
import { compare } from '../../simulate/report/comparison.ts';
import { renderReport } from '../../simulate/report/render-report.ts';
import { verdicts } from '../../simulate/report/verdict.ts';
import { SCENARIOS } from '../../simulate/scenarios/catalogue.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import type { Io } from '../io.ts';
import { UsageError } from '../usage-error.ts';

/** Chance plays a part in every run: a report is the mean of so many. */
const SEEDS = 3;

export interface ReportFlags {
  /** The Markdown file that is written; plots go to the folder of the same name beside it. */
  readonly report: string;
  readonly seed: number;
  readonly requests: number | undefined;
}

/** Compares all policies over all named scenarios and writes tables and plots. */
export async function runReport(io: Io, { report, seed, requests }: ReportFlags): Promise<ExitCode> {
  const before = await textOf(report);
  const comparison = compare({
    scenarios: SCENARIOS,
    policies: SIM_POLICIES,
    seeds: Array.from({ length: SEEDS }, (_, i) => seed + i),
    requests,
    simulate: (scenario, policy, own) => {
      const known = SIM_POLICIES.find((name) => name === policy);
      if (known === undefined) throw new UsageError(`there is no policy "${policy}"`);
      return simulate(scenario, known, { seed: own });
    },
    onRun: (scenario, policy, { ttftP95 }) =>
      io.err.write(`${scenario}, ${policy}: first token within ${ttftP95.toFixed(2)} s for 95 %\n`),
  });
  const plotFolder = basename(report, extname(report));
  const command = `warmpath simulate --report ${report}`;
  const rendered = renderReport(comparison, before, { plotFolder, command });
  await mkdir(join(dirname(report), plotFolder), { recursive: true });
  for (const [path, svg] of rendered.plots) await writeFile(join(dirname(report), path), svg);
  await writeFile(report, rendered.document);
  for (const { target, found, isMet } of verdicts(comparison))
    io.out.write(`${isMet ? 'met   ' : 'missed'}  ${target}: ${found}\n`);
  return EXIT.ok;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new UsageError(
      `${path} cannot be read: ${error instanceof Error ? error.message : 'unknown reason'}`,
    );
  }
}

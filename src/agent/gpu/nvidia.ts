import type { Clock } from '../../app/ports.ts';
import { firstLine, type RunTool, type ToolResult } from '../run-tool.ts';
import { parseMig } from './nvidia-mig.ts';
import { NVIDIA_FIELDS, parseNvidiaCsv, unknownField } from './nvidia-smi.ts';
import type { GpuCollector, GpuReading } from './reading.ts';
import { ToolSearch } from './tool-search.ts';

// Windows' driver brings it into WSL at a place that is not always on PATH.
const PLACES = ['nvidia-smi', '/usr/bin/nvidia-smi', '/usr/lib/wsl/lib/nvidia-smi'];

/** NVIDIA GPUs by `nvidia-smi`, MIG slices included. */
export class NvidiaCollector implements GpuCollector {
  readonly name = 'nvidia-smi';
  readonly #tool: ToolSearch;
  /** The names that this driver knows, at their places in NVIDIA_FIELDS; undefined: it knows none of them. */
  readonly #fields: (string | undefined)[] = NVIDIA_FIELDS.map(([name]) => name);

  constructor(run: RunTool, clock: Pick<Clock, 'now'>) {
    this.#tool = new ToolSearch(PLACES, run, clock);
  }

  async collect(signal: AbortSignal): Promise<GpuReading | undefined> {
    const { result, fields } = await this.#query(signal);
    if (result.kind === 'missing') return undefined;
    if (result.kind === 'timeout') return failure('did not answer in time; the driver may hang');
    if (result.kind === 'failed' && /No devices were found/i.test(result.stdout)) return undefined;
    const rows = parseNvidiaCsv(result.stdout, fields);
    if (rows.length === 0) {
      const said = result.kind === 'failed' ? result.message : firstLine(result.stdout);
      return failure(`shows no GPU: ${said ?? 'it printed nothing'}`);
    }
    // A GPU that fell off the bus ends the tool with an error after the rows of the others.
    const problem = result.kind === 'failed' ? `nvidia-smi: ${lastLine(result.stdout)}` : undefined;
    const whole = rows.filter(({ hasMig }) => !hasMig).map(({ gpu }) => gpu);
    if (whole.length === rows.length) return { gpus: whole, problem };
    const slices = await this.#slices(
      rows.map(({ gpu }) => gpu),
      signal,
    );
    return { gpus: [...whole, ...slices.gpus], problem: problem ?? slices.problem };
  }

  /** Asks again without the fields that this driver does not know. */
  async #query(signal: AbortSignal): Promise<{ result: ToolResult; fields: string[] }> {
    for (;;) {
      const fields = this.#fields.filter((field) => field !== undefined);
      const result = await this.#tool.run(
        [`--query-gpu=${fields.join(',')}`, '--format=csv,noheader,nounits'],
        signal,
      );
      const unknown = result.kind === 'failed' ? unknownField(result.stdout) : undefined;
      const place = unknown === undefined ? -1 : this.#fields.indexOf(unknown);
      if (place === -1) return { result, fields };
      const names: readonly string[] = NVIDIA_FIELDS[place] ?? [];
      this.#fields[place] = names[names.indexOf(unknown ?? '') + 1];
    }
  }

  async #slices(rows: GpuReading['gpus'], signal: AbortSignal): Promise<GpuReading> {
    const [xml, list] = await Promise.all([
      this.#tool.run(['-q', '-x'], signal),
      this.#tool.run(['-L'], signal),
    ]);
    const gpus = xml.kind === 'ok' ? parseMig(xml.stdout, list.kind === 'ok' ? list.stdout : '', rows) : [];
    if (gpus.length > 0) return { gpus, problem: undefined };
    return { gpus, problem: 'a GPU is in MIG mode and has no instance that this user may see' };
  }
}

function failure(text: string): GpuReading {
  return { gpus: [], problem: `nvidia-smi ${text}` };
}

function lastLine(text: string): string {
  return firstLine(text.trim().split('\n').at(-1) ?? '') ?? 'ended with an error';
}

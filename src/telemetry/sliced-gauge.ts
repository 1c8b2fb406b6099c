import { setImmediate } from 'node:timers/promises';

/** Series that are written without a pause: a fleet has tens of thousands, and a scrape must not hold requests up. */
const SLICE = 500;

/** A gauge that is set anew for every scrape: a table of numbers, written in slices as Prometheus's text format. */
export class SlicedGauge<Label extends string> {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: readonly Label[];
  readonly #series = new Map<string, number>();

  constructor(name: string, help: string, labels: readonly Label[]) {
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
  }

  set(labels: Readonly<Record<Label, string>>, value: number): void {
    this.#series.set(this.#key(labels), value);
  }

  inc(labels: Readonly<Record<Label, string>>, by: number): void {
    const key = this.#key(labels);
    this.#series.set(key, (this.#series.get(key) ?? 0) + by);
  }

  reset(): void {
    this.#series.clear();
  }

  /** Without a line end at its end. */
  async render(): Promise<string> {
    const lines = [`# HELP ${this.#name} ${escaped(this.#help)}`, `# TYPE ${this.#name} gauge`];
    for (const [key, value] of this.#series)
      if (lines.push(`${this.#name}${key} ${value}`) % SLICE === 0) await setImmediate();
    return lines.join('\n');
  }

  #key(labels: Readonly<Record<Label, string>>): string {
    if (this.#labels.length === 0) return '';
    return `{${this.#labels.map((label) => `${label}="${quoted(labels[label])}"`).join(',')}}`;
  }
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function quoted(text: string): string {
  return /["\\\n]/.test(text) ? escaped(text).replaceAll('"', '\\"') : text;
}

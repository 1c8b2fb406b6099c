/** What one answered request took. Durations in ms. */
export interface AnswerStats {
  readonly totalMs: number;
  readonly loadMs: number;
  readonly promptTokens: number;
  readonly promptEvalMs: number;
  readonly tokens: number;
  readonly evalMs: number;
  readonly doneReason: 'stop' | 'length';
}

/** How one API writes an answer. An instance serves one request. */
export interface AnswerFormat {
  readonly streamHeaders: Readonly<Record<string, string>>;
  readonly wholeContentType: string;
  /** Before the first token of a stream. */
  begin(): string;
  token(text: string): string;
  /** After the last token of a stream. */
  end(text: string, stats: AnswerStats): string;
  /** What a stream says when the model's runner dies under it, if anything; a clean end follows. */
  broken(): string;
  /** The whole answer at once. */
  whole(text: string, stats: AnswerStats): string;
}

export interface FormatContext {
  /** The model as the caller wrote it. */
  readonly model: string;
  readonly now: () => Date;
  /** Distinct for each request. */
  readonly id: number;
  readonly includeUsage: boolean;
  readonly maxTokens: number | undefined;
}

export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}

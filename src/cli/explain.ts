import { explanationSchema } from '../api/explain-schema.ts';
import { AdminRefused, readAdmin } from './admin-client.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { renderExplanation } from './explain-view.ts';
import type { Io } from './io.ts';
import { columnsOf, createPaint, displayText } from './terminal.ts';

export interface ExplainOptions {
  readonly url: string;
  readonly model: string;
  readonly numCtx: number | undefined;
  readonly path: string;
  readonly json: boolean;
}

/** Says which nodes would be tried for a model now, and why. Takes no lease and sends no request to a node. */
export async function runExplain(io: Io, options: ExplainOptions): Promise<ExitCode> {
  const query = new URLSearchParams({ model: options.model, path: options.path });
  if (options.numCtx !== undefined) query.set('num_ctx', String(options.numCtx));
  try {
    const explanation = await readAdmin(io, options.url, `/explain?${query}`, explanationSchema);
    io.out.write(
      options.json
        ? `${JSON.stringify(explanation, null, 2)}\n`
        : renderExplanation(explanation, createPaint(io.out, io.env), columnsOf(io.out)),
    );
    return explanation.ranking.nodes.length > 0 ? EXIT.ok : EXIT.problem;
  } catch (error) {
    if (!(error instanceof AdminRefused)) throw error;
    io.err.write(`warmpath: ${displayText(error.message)}\n`);
    return EXIT.problem;
  }
}

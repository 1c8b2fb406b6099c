import { type DecisionShown, decisionSchema } from '../api/decision-report.ts';
import { explanationSchema } from '../api/explain-schema.ts';
import { AdminRefused, readAdmin } from './admin-client.ts';
import { renderDecision } from './decision-view.ts';
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
  return unlessRefused(io, async () => {
    const explanation = await readAdmin(io, options.url, `/explain?${query}`, explanationSchema);
    io.out.write(
      options.json
        ? `${JSON.stringify(explanation, null, 2)}\n`
        : renderExplanation(explanation, createPaint(io.out, io.env), columnsOf(io.out)),
    );
    return explanation.ranking.nodes.length > 0 ? EXIT.ok : EXIT.problem;
  });
}

export interface ExplainDecisionOptions {
  readonly url: string;
  /** As in the answer's header `x-warmpath-decision`. */
  readonly decision: string;
  readonly json: boolean;
}

/** Says what was decided for one request and why, and what came of it. */
export async function runExplainDecision(io: Io, options: ExplainDecisionOptions): Promise<ExitCode> {
  const path = `/decisions/${encodeURIComponent(options.decision)}`;
  return unlessRefused(io, async () => {
    const decision: DecisionShown = await readAdmin(io, options.url, path, decisionSchema);
    io.out.write(
      options.json
        ? `${JSON.stringify(decision, null, 2)}\n`
        : renderDecision(decision, createPaint(io.out, io.env), columnsOf(io.out)),
    );
    return EXIT.ok;
  });
}

async function unlessRefused(io: Io, run: () => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof AdminRefused)) throw error;
    io.err.write(`warmpath: ${displayText(error.message)}\n`);
    return EXIT.problem;
  }
}

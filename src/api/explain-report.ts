import type { AdminSource, Explanation } from './admin-source.ts';
import { nodeFigures, type SlotsFigure, type VramFigure } from './gpu-report.ts';

/** A ranking with the figures that it was made from, and who told them. */
export interface ExplanationReport extends Explanation {
  /** Of the ranked nodes, in their order. */
  readonly figures: readonly {
    readonly id: string;
    readonly slots: SlotsFigure;
    readonly vram: VramFigure;
  }[];
}

export function explanationReport(
  source: Pick<AdminSource, 'records' | 'snapshot' | 'now'>,
  explanation: Explanation,
): ExplanationReport {
  const ids = new Set(explanation.ranking.nodes.map(({ id }) => id));
  const records = new Map(
    source.records().flatMap((record) => (ids.has(record.spec.id) ? [[record.spec.id, record]] : [])),
  );
  const { byId } = source.snapshot();
  const figures = [...ids].flatMap((id) => {
    const record = records.get(id);
    return record === undefined ? [] : [{ id, ...nodeFigures(record, byId.get(id), source.now()) }];
  });
  return { ...explanation, figures };
}

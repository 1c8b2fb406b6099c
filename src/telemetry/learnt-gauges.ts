import { anyContextKey } from '../fleet/figures-key.ts';
import type { Estimate, NodeView } from '../fleet/types.ts';
import { OTHER } from './bounded-labels.ts';
import type { SlicedGauge } from './sliced-gauge.ts';

type MakeGauge = <Label extends string>(name: string, help: string, labels: Label[]) => SlicedGauge<Label>;

/**
 * Gauges of what was learnt of each model on each node, over all its contexts. What is returned sets those of one node;
 * `name` answers the label of a model, few enough of them.
 */
export function createLearntGauges(
  gauge: MakeGauge,
): (node: NodeView, label: string, name: (model: string) => string) => void {
  const labels: ['node', 'model'] = ['node', 'model'];
  const load = gauge('learnt_load_seconds', 'A whole load of the model.', labels);
  const prompt = gauge('learnt_prompt_tokens_per_second', 'Tokens of prompt read per second.', labels);
  const answer = gauge(
    'learnt_answer_tokens_per_second',
    'Tokens per second of an answer that runs alone.',
    labels,
  );
  const tokens = gauge('learnt_answer_tokens', 'Tokens per answer.', labels);
  const held = gauge('learnt_held_seconds', 'How long a request holds its slot.', labels);
  const wait = gauge('learnt_inner_wait_seconds', 'Wait inside the node before a request begins.', labels);
  const slots = gauge('learnt_slots', 'Requests for the model that were seen to run at once.', labels);
  return (node, label, name) => {
    for (const model of node.models.keys()) {
      const figures = node.figures.get(anyContextKey(model)) ?? node.figures.get(model);
      if (figures === undefined) continue;
      const shown = name(model);
      if (shown === OTHER) continue;
      const pair = { node: label, model: shown };
      for (const [metric, value] of [
        [load, seconds(figures.loadMs)],
        [prompt, figures.promptRate?.value],
        [answer, figures.answerRates[0]?.value],
        [tokens, figures.answerTokens?.value],
        [held, seconds(figures.heldMs)],
        [wait, seconds(figures.innerWaitMs)],
        [slots, figures.slots],
      ] satisfies [SlicedGauge<'node' | 'model'>, number | undefined][])
        if (value !== undefined && Number.isFinite(value)) metric.set(pair, value);
    }
  };
}

function seconds(estimate: Estimate | undefined): number | undefined {
  return estimate === undefined ? undefined : estimate.value / 1000;
}

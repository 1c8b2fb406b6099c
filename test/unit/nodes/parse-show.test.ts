import { describe, expect, it } from 'vitest';
import { parseShow } from '../../../src/nodes/parse-show.ts';
import { PollError } from '../../../src/nodes/poll-error.ts';

const info = { 'general.architecture': 'qwen3', 'qwen3.context_length': 40_960 };

describe('the answer of /api/show', () => {
  it('tells what the model can do, and its longest context', () => {
    expect(parseShow({ capabilities: ['completion', 'tools'], model_info: info })).toEqual({
      capabilities: ['completion', 'tools'],
      trainedContext: 40_960,
    });
  });

  it.each([
    { name: 'a list that is empty', answer: { capabilities: [] }, want: [] },
    {
      name: 'words that are none',
      answer: { capabilities: ['tools', 5, null, 'No Word', 'x'.repeat(33), 'tools'] },
      want: ['tools'],
    },
    {
      name: 'far too many words',
      answer: { capabilities: Array.from({ length: 99 }, (_, i) => `c${'x'.repeat(i % 20)}`) },
      want: Array.from({ length: 16 }, (_, i) => `c${'x'.repeat(i)}`),
    },
    {
      name: 'an old node with a model that only embeds',
      answer: { details: { family: 'nomic-bert' } },
      want: ['embedding'],
    },
  ])('takes $name', ({ answer, want }) => {
    expect(parseShow(answer)?.capabilities).toEqual(want);
  });

  it.each([
    { name: 'no family', answer: {} },
    { name: 'a family of many uses', answer: { details: { family: 'llama', families: ['llama', 'clip'] } } },
    { name: 'capabilities that are no list', answer: { capabilities: 'completion' } },
  ])('knows nothing from an old node that tells $name', ({ answer }) => {
    expect(parseShow(answer)).toBeUndefined();
  });

  it.each([
    [{ 'general.architecture': 'x', 'x.context_length': 'long' }],
    [{ 'general.architecture': 'x', 'y.context_length': 5 }],
    [{ 'general.architecture': 'x', 'x.context_length': -1 }],
    ['none'],
  ])('leaves the longest context open where it is told as %j', (model_info) => {
    expect(parseShow({ capabilities: [], model_info })?.trainedContext).toBeUndefined();
  });

  it.each([null, 'text', [1], 5])('refuses %j', (answer) => {
    expect(() => parseShow(answer)).toThrow(PollError);
  });
});

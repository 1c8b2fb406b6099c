import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { decisionSchema } from '../../src/api/decision-report.ts';
import { inputFromJson } from '../../src/app/decision-input-json.ts';
import { replayDecision } from '../../src/app/decision-inputs.ts';
import { parseRecordedLine } from '../../src/app/decision-record.ts';
import { realEnvoy } from '../support/envoy.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Arena, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';

const SECRET = 'nobody-shall-read-this';
const BODY = { model: MODEL, prompt: SECRET, stream: true, options: { num_predict: 4 } };

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n');
  } catch {
    return [];
  }
}

async function decisionOf(arena: Arena, id: string) {
  const read = async () =>
    decisionSchema.parse((await send(`${arena.warmpath.adminUrl}/decisions/${id}`)).json());
  await waitFor('the outcome to be known', async () => (await read()).outcome !== undefined);
  return read();
}

describeReal(await realEnvoy(), 'decisions', () => {
  afterEach(closeArenas);

  it('are told with what was chosen, tried, predicted and what came, and come out the same from their input', async () => {
    const arena = await startArena({ count: 3 });
    const answer = await post(arena.url + GENERATE, BODY);
    const id = String(answer.headers['x-warmpath-decision']);
    const decision = await decisionOf(arena, id);
    expect(decision).toMatchObject({
      id,
      asked: MODEL,
      model: MODEL,
      waitedMs: 0,
      attempts: [{ node: answer.headers['x-warmpath-node'], result: 'served' }],
      outcome: { end: 'complete', status: 200 },
      replay: 'same',
    });
    expect(decision.seconds?.predictedFirstToken).toBeGreaterThan(0);
    expect(decision.seconds?.realFirstToken).toBeGreaterThan(0);
    const input = await send(`${arena.warmpath.adminUrl}/decisions/${id}/input`);
    expect(replayDecision(inputFromJson(input.text)).nodes.slice(0, decision.ranking.nodes.length)).toEqual(
      decision.ranking.nodes,
    );
    expect(input.text).not.toContain(SECRET);
    expect(await arena.warmpath.metric('warmpath_prediction_error_seconds_count')).toBeGreaterThan(0);
  });

  it('are recorded, one line each, without prompts and callers, and a second policy is asked beside ours', async () => {
    const dir = tempDir();
    const path = join(dir.path, 'decisions.jsonl');
    const arena = await startArena({
      count: 3,
      config: { decisions: { record: path }, routing: { shadow: 'herd-score' } },
    });
    for (let i = 0; i < 8; i += 1) await post(arena.url + GENERATE, BODY);
    await post(arena.url + GENERATE, { ...BODY, model: 'absent' });
    await waitFor('all requests to be recorded', () => linesOf(path).length === 9, { timeoutMs: 10_000 });
    const lines = linesOf(path).map(parseRecordedLine);
    expect(lines.filter((line) => line?.end === 'complete')).toHaveLength(8);
    expect(lines.find((line) => line?.end === 'refused')).toMatchObject({
      model: 'absent:latest',
      code: 'model_not_found',
    });
    expect(lines[0]).toMatchObject({ path: GENERATE, model: MODEL, status: 200, completionTokens: 4 });
    const text = readFileSync(path, 'utf8');
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain('127.0.0.1');
    const { shadow, recording } = await arena.warmpath.status();
    expect(shadow).toMatchObject({ policy: 'herd-score', isOff: false });
    expect(shadow?.asked).toBeGreaterThan(0);
    expect(recording).toEqual({ written: 9, dropped: 0 });
    expect(await arena.warmpath.metric('warmpath_shadow_agreement_total')).toBe(shadow?.asked);
    dir.remove();
  });
});

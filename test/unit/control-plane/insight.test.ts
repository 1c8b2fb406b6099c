import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Decision } from '../../../src/app/decision-log.ts';
import { parseRecordedLine } from '../../../src/app/decision-record.ts';
import { Fleet } from '../../../src/app/fleet.ts';
import { SharedObservations } from '../../../src/app/sharing/shared-observations.ts';
import type { Config } from '../../../src/config/config.ts';
import { createInsight } from '../../../src/control-plane/insight.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { rank } from '../../../src/routing/rank.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { address, anOutcome } from '../app/outcomes.ts';
import { spec } from '../fleet/builders.ts';
import { noChance, node, request, situation, snapshot, warmNode } from '../routing/builders.ts';

type Shadow = Config['routing']['shadow'];

function anInsight(
  clock: FakeClock,
  { record, shadow }: { record?: () => string | undefined; shadow?: () => Shadow } = {},
) {
  const config = (): Config =>
    // Sound: nothing else of the configuration is read.
    ({
      decisions: { record: record?.(), maxBytes: 2 ** 20 },
      routing: { shadow: shadow?.() },
    }) as unknown as Config;
  const telemetry = { shadowChose: () => {}, rewritten: () => {} };
  return createInsight({
    current: config,
    clock,
    random: noChance,
    log: new MemoryLog(),
    telemetry,
  });
}

describe('what follows requests', () => {
  it('F57: counts a death that another control plane has seen', async () => {
    const clock = new FakeClock({ now: 1_000 });
    const store = new MemoryStore(clock, { isShared: true });
    const plane = (replica: string, other: string) => {
      const insight = anInsight(clock);
      const fleet = new Fleet([spec('n1'), spec('n2')], DEFAULT_HEALTH, clock);
      const observations = new SharedObservations({
        store,
        replica,
        fleet,
        clock,
        onPolledElsewhere: () => {},
        onHeard: (id, observation) => insight.heard(id, observation),
      });
      observations.start();
      observations.setOthers([other]);
      return { insight, observations };
    };
    const [a, b] = [plane('a', 'b'), plane('b', 'a')];
    const death = {
      kind: 'attempt_failed',
      model: 'm:latest',
      reason: 'reset',
      retryAfterMs: undefined,
      fingerprint: 'killer',
    } as const;
    a.observations.observe('n1', death);
    await clock.advance(1);
    expect(b.insight.guard.attemptsLeft('killer', clock.now())).toBe(1);
    a.observations.observe('n2', { ...death, reason: 'truncated' });
    await clock.advance(1);
    expect(() => b.insight.guard.check('killer', clock.now())).toThrow(/refused/);
    expect(b.insight.guardReport()).toEqual({ refusals: 1, refusedBodies: 1 });
    a.observations.stop();
    b.observations.stop();
  });

  it('asks the shadow policy that the configuration names now', async () => {
    const clock = new FakeClock();
    let name: Shadow = 'round-robin';
    const insight = anInsight(clock, { shadow: () => name });
    const of = situation(snapshot(warmNode('n1'), node('n2')));
    const decide = () => {
      const ranking = rank(request(), of);
      for (const watcher of insight.watchers)
        watcher.chosen?.({ id: 'd1', request: request(), ranking, situation: of });
    };
    decide();
    expect(insight.shadowReport()).toMatchObject({ policy: 'round-robin', asked: 1 });
    name = 'herd-score';
    expect(insight.shadowReport()).toMatchObject({ policy: 'herd-score', asked: 0 });
    name = undefined;
    decide();
    expect(insight.shadowReport()).toBeUndefined();
  });

  it('records requests where the configuration says so now, the last ones when it closes', async () => {
    const folder = tempDir().path;
    const files = [join(folder, 'a.jsonl'), join(folder, 'b.jsonl')] as const;
    let path: string | undefined = files[0];
    const insight = anInsight(new FakeClock(), { record: () => path });
    const end = (id: string) => {
      const decision = new Decision({
        id,
        at: new Date('2026-01-01T00:00:00Z'),
        request: request(),
        ranking: rank(request(), situation(snapshot(warmNode('n1')))),
        snapshotVersion: 1,
      });
      for (const watcher of insight.watchers)
        watcher.ended?.(decision, 'n1', anOutcome({ address: address(1) }));
    };
    end('d1');
    path = undefined;
    end('d2');
    expect(insight.recording()).toBeUndefined();
    path = files[1];
    end('d3');
    await insight.close();
    const linesOf = async (file: string) =>
      (await readFile(file, 'utf8')).trimEnd().split('\n').map(parseRecordedLine);
    expect(await linesOf(files[0])).toMatchObject([{ id: 'd1', node: 'n1', end: 'complete' }]);
    expect(await linesOf(files[1])).toMatchObject([{ id: 'd3' }]);
    expect(insight.recording()).toEqual({ written: 2, dropped: 0 });
  });
});

// node test/bench/replay.bench.ts — what it costs to keep a decision's input, so that it can be made again.
import { inputToJson } from '../../src/app/decision-input-json.ts';
import { SituationRecorder } from '../../src/app/situation-tape.ts';
import { LeaseLedger } from '../../src/fleet/ledger.ts';
import { rank } from '../../src/routing/rank.ts';
import type { Situation } from '../../src/routing/types.ts';
import { seededRandom } from '../support/seeded-random.ts';
import {
  MODEL,
  NOW,
  node,
  onDisk,
  request,
  resident,
  situation,
  snapshot,
} from '../unit/routing/builders.ts';

const OTHER = 'other:latest';
const asked = request();

function fleetOf(size: number): Situation {
  const random = seededRandom(size);
  const nodes = Array.from({ length: size }, (_, i) =>
    node(`n${i}`, {
      models: [onDisk(MODEL), onDisk(OTHER)],
      warm: [resident(i % 3 === 0 ? MODEL : OTHER)],
      vramTotalBytes: 12 * 2 ** 30,
    }),
  );
  const ledger = new LeaseLedger();
  for (let i = 0; i < size; i += 1)
    ledger.take(`l${i}`, `n${(i * 7) % size}`, i % 2 === 0 ? MODEL : OTHER, NOW, NOW + 5_000);
  return situation(snapshot(...nodes), { inflight: ledger, random });
}

function plain(of: Situation): void {
  rank(asked, of);
}

function kept(of: Situation): void {
  const recorder = new SituationRecorder(of);
  rank(asked, recorder.situation);
  recorder.taped();
}

/** Microseconds of one call, the median of `rounds`. */
function median(run: () => void, rounds: number): number {
  const times = Array.from({ length: rounds }, () => {
    const start = performance.now();
    run();
    return (performance.now() - start) * 1000;
  });
  return times.sort((a, b) => a - b)[rounds >> 1] ?? 0;
}

for (const size of [10, 100, 10_000]) {
  const of = fleetOf(size);
  const rounds = size > 1_000 ? 400 : 4_000;
  for (const run of [plain, kept]) median(() => run(of), rounds);
  const recorder = new SituationRecorder(of);
  rank(asked, recorder.situation);
  const situationKept = recorder.taped();
  const written = median(() => inputToJson({ request: asked, situation: situationKept }), 9);
  console.log(
    [
      `${size} nodes`.padStart(12),
      `rank ${median(() => plain(of), rounds).toFixed(1)} µs`,
      `with its input kept ${median(() => kept(of), rounds).toFixed(1)} µs`,
      `${situationKept.tape.length} answers`,
      `written down in ${(written / 1000).toFixed(1)} ms`,
    ].join('  '),
  );
}

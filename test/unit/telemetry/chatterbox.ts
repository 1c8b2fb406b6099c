// Run by log-destination.test.ts as a process of its own: logs 100 rounds of as many lines as its argument says, 200 or
// 10 MiB unless told, then says on standard error how long its event loop was held up and how much it gave up, and ends.
import { createLogger } from '../../../src/telemetry/logger.ts';

const perRound = Number(process.argv[2] ?? 200);
const { logger, destination } = createLogger({ level: 'info', format: 'json' });
let last = performance.now();
let worst = 0;
let rounds = 0;

const timer = setInterval(() => {
  const now = performance.now();
  worst = Math.max(worst, now - last);
  for (let i = 0; i < perRound; i += 1) logger.info({ round: rounds, i, filler: 'x'.repeat(400) }, 'chatter');
  rounds += 1;
  last = performance.now();
  if (rounds < 100) return;
  clearInterval(timer);
  process.stderr.write(`${JSON.stringify({ worst, dropped: destination.dropped() })}\n`);
  process.exit(0);
}, 5);

// Run by process-io.test.ts as a process of its own: prints more than any pipe holds.
import { systemClock } from '../../../src/app/system-clock.ts';
import { processIo } from '../../../src/cli/process-io.ts';

const io = processIo(systemClock, new AbortController().signal);
for (let i = 0; i < 100_000; i += 1) io.out.write(`line ${i}\n`);

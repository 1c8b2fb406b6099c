/** npm run conformance: see `USAGE`. */
import { runConformance } from './command.ts';

process.exitCode = await runConformance(process.argv.slice(2));

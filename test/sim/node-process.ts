/**
 * node test/sim/node-process.ts OPTIONS
 *
 * One simulated node in a process of its own, which tests may kill or stop like a machine. OPTIONS is JSON; prints the
 * node's URL.
 */
import { type SimulatedNodeOptions, startSimulatedNode } from '../../src/demo/node-simulator.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as SimulatedNodeOptions; // written by fleet.ts
const node = await startSimulatedNode(options);
process.on('SIGTERM', () => process.exit(0));
// The parent is gone: nobody needs this node any more.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 1000);
process.stdout.write(`serving ${node.url}\n`);

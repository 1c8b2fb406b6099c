#!/usr/bin/env node
// npm run test | bench | conformance | lint | build | proto: the development tasks, on Node 24 with all dependencies.
import { delimiter, dirname, join } from 'node:path';
import { ensureDependencies, findNode, root, runNode } from './setup.js';

const TASKS = {
  test: ['node_modules/vitest/vitest.mjs', 'run'],
  bench: ['test/bench/run.ts'],
  conformance: ['src/conformance/main.ts'],
  lint: ['node_modules/@biomejs/biome/bin/biome', 'check', '.'],
  build: ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'],
  proto: ['node_modules/@bufbuild/buf/bin/buf', 'generate'],
};

const [name = '', ...args] = process.argv.slice(2);
const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
if (task === undefined) {
  process.stderr.write(`usage: task.js ${Object.keys(TASKS).join('|')} [arguments]\n`);
  process.exit(2);
}
ensureDependencies({ withDev: true });
process.chdir(root);
const node = findNode() ?? process.execPath;
const path = [dirname(node), join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
runNode([...task, ...args], { ...process.env, PATH: path });

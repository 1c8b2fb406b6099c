#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ensureDependencies, findNode, root, runNode } from './setup.js';

// A built image has dist and no sources; a checkout runs its sources.
const main = ['src/main.ts', 'dist/main.js'].map((path) => join(root, path)).find((path) => existsSync(path));
if (main === undefined) throw new Error(`neither src/main.ts nor dist/main.js is in ${root}`);
if (existsSync(join(root, 'package-lock.json'))) ensureDependencies({ withDev: false });
const args = process.argv.slice(2);
if (findNode() === process.execPath) await import(main);
// The control plane wants a heap of its own shape. Under `up` its supervisor sees to that, in images their entry point.
else runNode([...(args[0] === 'serve' ? nodeFlags(dirname(main)) : []), main, ...args]);

function nodeFlags(folder) {
  return JSON.parse(readFileSync(join(folder, 'supervisor', 'node-flags.json'), 'utf8'));
}

#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDependencies, findNode, root, runNode } from './setup.js';

// A built image has dist and no sources; a checkout runs its sources.
const main = ['src/main.ts', 'dist/main.js'].map((path) => join(root, path)).find((path) => existsSync(path));
if (main === undefined) throw new Error(`neither src/main.ts nor dist/main.js is in ${root}`);
if (existsSync(join(root, 'package-lock.json'))) ensureDependencies({ withDev: false });
if (findNode() === process.execPath) await import(main);
else runNode([main, ...process.argv.slice(2)]);

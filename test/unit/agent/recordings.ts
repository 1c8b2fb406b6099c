import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunTool, ToolResult } from '../../../src/agent/run-tool.ts';

/** What a tool once printed. */
export function recorded(name: string): string {
  return readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8');
}

export const ok = (stdout: string): ToolResult => ({ kind: 'ok', stdout });
export const failed = (stdout: string): ToolResult => ({
  kind: 'failed',
  stdout,
  message: stdout.trim().split('\n')[0] ?? '',
});

export interface ScriptedTools {
  readonly run: RunTool;
  /** Commands asked for, in order. */
  readonly asked: string[];
}

/** A machine whose tools answer by script: the first whose text begins the command. All others are not installed. */
export function tools(script: Readonly<Record<string, ToolResult | (() => ToolResult)>>): ScriptedTools {
  const asked: string[] = [];
  const run: RunTool = (file, args) => {
    const command = [file, ...args].join(' ');
    asked.push(command);
    const entry = Object.entries(script).find(([start]) => command.startsWith(start))?.[1];
    const result = typeof entry === 'function' ? entry() : (entry ?? { kind: 'missing' as const });
    return Promise.resolve(result);
  };
  return { run, asked };
}

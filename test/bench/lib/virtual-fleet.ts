import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('./virtual-nodes.ts', import.meta.url));

/** Thousands of nodes in a process of their own, which ends with this one. */
export class VirtualFleet {
  readonly #process: ChildProcess;
  readonly #port: number;

  constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.#port = port;
  }

  /** The first so many nodes, for a configuration. */
  nodes(count: number): { name: string; url: string; slots: number }[] {
    return Array.from({ length: count }, (_, index) => {
      const host = `127.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
      return { name: `node-${index}`, url: `http://${host}:${this.#port}`, slots: 64 };
    });
  }

  /** How often all nodes together were asked for their models in memory. */
  async polls(): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/polls`);
    return ((await answer.json()) as { polls: number }).polls; // our own script's answer
  }

  close(): void {
    this.#process.stdin?.end();
  }
}

export async function startVirtualFleet(models: number): Promise<VirtualFleet> {
  const child = spawn(process.execPath, [SCRIPT, `${models}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return new VirtualFleet(child, Number(line.toString()));
}

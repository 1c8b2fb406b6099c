/**
 * Thousands of Ollama nodes in one process: `node test/bench/lib/virtual-nodes.ts MODELS`. Every address of 127.0.0.0/8
 * is a node, with its own dates and two models in memory. Prints its port; ends with its standard input. `/polls` answers
 * how often any node was asked for its models in memory.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

let polls = 0;
const models = Number(process.argv[2] ?? 50);
const details = {
  parent_model: '',
  format: 'gguf',
  family: 'llama',
  families: ['llama'],
  parameter_size: '8.0B',
  quantization_level: 'Q4_K_M',
};

function model(index: number, node: number): object {
  const name = `model-${index}:latest`;
  const digest = index.toString(16).padStart(64, 'a');
  return { name, model: name, size: 5e9 + index, digest, details, modified_at: date(node, index) };
}

function date(node: number, index: number): string {
  return new Date(1_788_000_000_000 + node * 60_000 + index * 1_000).toISOString();
}

function answer(path: string | undefined, node: number): string {
  if (path === '/api/version') return JSON.stringify({ version: '0.24.0' });
  if (path === '/api/tags')
    return JSON.stringify({ models: Array.from({ length: models }, (_, i) => model(i, node)) });
  if (path === '/polls') return JSON.stringify({ polls });
  polls += 1;
  const warm = [node % models, (node * 7 + 1) % models].map((index) => ({
    ...model(index, node),
    size_vram: 6e9,
    context_length: 4096,
    expires_at: date(node, 0),
  }));
  return JSON.stringify({ models: warm });
}

const server = createServer((request, response) => {
  const [, a = 0, b = 0, c = 0] = (request.socket.localAddress ?? '').split('.').map(Number);
  response.setHeader('content-type', 'application/json');
  response.end(answer(request.url, (a << 16) + (b << 8) + c));
});
server.keepAliveTimeout = 120_000;
// Every address of the loopback network, and nobody from outside it.
server.on('connection', (socket) => {
  if (!socket.remoteAddress?.startsWith('127.')) socket.destroy();
});
server.listen({ host: '0.0.0.0', port: 0, backlog: 4096 }, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
process.stdin.resume().on('end', () => process.exit(0));

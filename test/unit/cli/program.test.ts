import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { RunFlags } from '../../../src/cli/options.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { ConfigError } from '../../../src/config/problem.ts';
import { aSource } from '../api/fake-source.ts';
import { aFakeIo, type FakeIo, fetchFrom } from './fake-io.ts';

const directory = mkdtempSync(join(tmpdir(), 'warmpath-cli-'));
afterAll(() => rmSync(directory, { recursive: true }));

function aFile(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function run(args: string[], io: FakeIo = aFakeIo(), failure?: Error) {
  const ran: { command: string; flags: RunFlags }[] = [];
  const action = (command: string) => async (flags: RunFlags) => {
    ran.push({ command, flags });
    if (failure !== undefined) throw failure;
    return 0 as const;
  };
  const code = await runProgram(args, { version: '1.2.3', io, up: action('up'), serve: action('serve') });
  return { code, out: io.out.text, err: io.err.text, ran };
}

it('hands the flags of up and serve on as typed', async () => {
  const flags = [
    '--node',
    'gpu1=http://a:1',
    '-n',
    'http://b',
    '-c',
    'w.yaml',
    '--listen',
    ':1',
    '--admin',
    ':2',
  ];
  const more = ['--grpc', 'unix:/x', '--state-dir', '/s', '--log-level', 'debug', '--envoy', '/e'];
  const common = {
    node: ['gpu1=http://a:1', 'http://b'],
    config: 'w.yaml',
    listen: ':1',
    admin: ':2',
    grpc: 'unix:/x',
    stateDir: '/s',
    logLevel: 'debug',
    envoy: '/e',
  };
  expect((await run(['up', ...flags, ...more, '--demo'])).ran).toEqual([
    { command: 'up', flags: { ...common, demo: true } },
  ]);
  expect((await run(['serve', ...flags, ...more])).ran).toEqual([{ command: 'serve', flags: common }]);
});

it('needs no flags at all', async () => {
  expect((await run(['up'])).ran).toEqual([{ command: 'up', flags: { node: [] } }]);
});

it.each([
  [[], 'Usage: warmpath'],
  [['stauts'], 'Did you mean status?'],
  [['up', '--nodes', 'x'], 'Did you mean --node?'],
  [['up', '--log-level', 'loud'], 'Allowed choices are trace'],
  [['up', '--listen', ' '], 'must not be empty'],
  [['explain'], 'name a model, or a decision'],
  [['explain', 'm', '--num-ctx', '1.5'], 'a whole number above 0'],
  [['status', '--admin', 'a:b:c'], 'expected HOST:PORT'],
])('answers 2 to wrong usage: %j', async (args, want) => {
  const { code, err, out } = await run(args);
  expect(code).toBe(2);
  expect(err).toContain(want);
  expect(out).toBe('');
});

it('explains itself, its exit codes included', async () => {
  const { code, out } = await run(['--help']);
  expect(code).toBe(0);
  for (const command of [
    'up',
    'serve',
    'check',
    'status',
    'explain',
    'nodes',
    'envoy-config',
    '3  nothing answers',
  ]) {
    expect(out).toContain(command);
  }
  expect((await run(['--version'])).out).toBe('1.2.3\n');
});

it('answers 1 with the message of what failed, without a stack', async () => {
  const failure = new ConfigError('w.yaml', ['w.yaml:1:1 listen: odd']);
  const { code, err } = await run(['up'], aFakeIo(), failure);
  expect(code).toBe(1);
  expect(err).toBe('warmpath: w.yaml is not valid:\n  w.yaml:1:1 listen: odd\n');
});

it('shows where a mistake of its own happened', async () => {
  expect((await run(['up'], aFakeIo(), new TypeError('x is undefined'))).err).toMatch(
    /x is undefined\n\s+at /,
  );
});

it('answers 3 where nothing answers', async () => {
  const { code, err } = await run(['status']);
  expect(code).toBe(3);
  expect(err).toContain('no Warmpath answers at http://127.0.0.1:9411');
});

it('finds the running Warmpath by flag, environment or file', async () => {
  const asked: string[] = [];
  const fetch = fetchFrom(aSource([]), asked);
  const config = aFile('admin.yaml', 'admin: 127.0.0.1:3\n');
  await run(['status', '--json', '--admin', '127.0.0.1:1'], aFakeIo({ fetch }));
  await run(['explain', 'm'], aFakeIo({ fetch, env: { WARMPATH_ADMIN: '127.0.0.1:2' } }));
  await run(['status', '-c', config], aFakeIo({ fetch }));
  expect(asked.map((url) => new URL(url).port)).toEqual(['1', '2', '3']);
});

it('check says what a valid configuration would run, and keeps its tokens', async () => {
  const file = aFile(
    'good.yaml',
    [
      'listen: 127.0.0.1:11500',
      'nodes:',
      '  - {name: gpu1, url: "http://192.0.2.1:11434", slots: 4, vram: 24GiB, token: tell-nobody}',
      '  - {name: gpu2, url: "https://gpu2.example", weight: 2, drain: true}',
    ].join('\n'),
  );
  const text = await run(['check', file]);
  expect(text.code).toBe(0);
  expect(text.out).toContain('clients         127.0.0.1:11500');
  expect(text.out).toMatch(/gpu1 +http:\/\/192\.0\.2\.1:11434 +4 +24\.0 GiB +1 +token/);
  expect(text.out).toMatch(/gpu2 +https:\/\/gpu2\.example:443 +learnt +\? +2 +draining/);
  const json = await run(['check', '--json', '--config', file]);
  expect(JSON.parse(json.out)).toMatchObject({
    isValid: true,
    config: {
      listen: { port: 11500 },
      nodes: [
        { id: 'gpu1', hasToken: true },
        { id: 'gpu2', hasToken: false },
      ],
    },
  });
  expect(text.out + json.out).not.toContain('tell-nobody');
});

it('check says how state is shared and how nodes come to be known, and keeps every secret', async () => {
  const file = aFile(
    'shared.yaml',
    [
      'adminToken: tell-nobody-of-admin',
      'store: { url: "rediss://ops:tell-nobody@cache.lan/2" }',
      'replicas: ["10.0.0.2:9412"]',
      'agents: { listen: 127.0.0.1:9413, joinToken: tell-nobody-to-join, maxNodes: 5 }',
      'discovery:',
      '  trust: manual',
      '  sources: [{ kind: mdns }, { kind: dns, name: ollama.lan }, { kind: localhost }]',
    ].join('\n'),
  );
  const text = await run(['check', file]);
  expect(text.code).toBe(0);
  for (const want of [
    'Redis           rediss://cache.lan:6379/2, as ops, TLS',
    'other replicas  10.0.0.2:9412',
    'agents          127.0.0.1:9413, 5 nodes at most',
    'discovery       mDNS, DNS A ollama.lan, ports 24000-24100 of this machine; trust: manual',
  ]) {
    expect(text.out).toContain(want);
  }
  expect(text.out).not.toContain('no nodes');
  const json = await run(['check', '--json', '--config', file]);
  expect(JSON.parse(json.out).config).toMatchObject({
    hasAdminToken: true,
    store: { kind: 'redis', url: 'rediss://cache.lan:6379/2', hasPassword: true },
    agents: { hasJoinToken: true },
  });
  expect(text.out + json.out).not.toContain('tell-nobody');
});

it.each([
  [['--profile', 'epp'], 'epp: answers with 1 to 3 endpoints', '127.0.0.1:9002'],
  [['--profile', 'epp-single'], 'epp-single: answers with one endpoint', '127.0.0.1:9002'],
  [
    ['--profile', 'epp', '--grpc', '127.0.0.1:1', '--grpc-tls', 'self-signed'],
    'epp: answers with 1 to 3 endpoints',
    '127.0.0.1:1, TLS, self-signed',
  ],
])('check %j says what gateways are answered, and where', async (flags, profile, grpc) => {
  const { code, out } = await run(['check', '--node', 'http://gpu1', '--health', '127.0.0.1:2', ...flags]);
  expect(code).toBe(0);
  expect(out).toContain(
    `  gRPC for Envoy  ${grpc}\n  profile         ${profile}\n  gRPC health     127.0.0.1:2\n`,
  );
  expect(out).not.toContain('  clients  ');
});

it('check names aliases and known clients, and keeps their keys', async () => {
  const key = 'a-key-that-nobody-sees';
  const file = aFile(
    'clients.yaml',
    `models: { gpt-4o: [qwen3, llama3.1] }\nclients: [{ name: chat, key: ${key}, class: interactive }]\n`,
  );
  const text = await run(['check', file]);
  expect(text.out).toContain('known clients   chat');
  expect(text.out).toContain('aliases         gpt-4o');
  const json = await run(['check', '--json', '--config', file]);
  expect(JSON.parse(json.out).config).toMatchObject({
    models: { 'gpt-4o': ['qwen3', 'llama3.1'] },
    clients: [{ name: 'chat', class: 'interactive', privileged: false }],
  });
  expect(`${text.out}${text.err}${json.out}${json.err}`).not.toContain(key);
});

it('check takes Redis, agents and discovery from flags', async () => {
  const flags = [
    '--redis',
    'redis://127.0.0.1',
    '--agents',
    '127.0.0.1:9413',
    '--discover',
    'mdns',
    '--discover',
  ];
  const io = aFakeIo({ env: { WARMPATH_JOIN_TOKEN: '0123456789abcdef' } });
  const { code, out } = await run(['check', ...flags, 'dns:ollama.lan'], io);
  expect(code).toBe(0);
  expect(out).toContain('Redis           redis://127.0.0.1:6379');
  expect(out).toContain('discovery       mDNS, DNS A ollama.lan; trust: token');
});

it('check shows every problem at once with line and path, and answers 1', async () => {
  const file = aFile(
    'bad.yaml',
    [
      'listen: 11434',
      'nodes:',
      '  - {name: a, url: "http://192.0.2.1"}',
      '  - {name: a, url: "ftp://b", slotz: 2}',
    ].join('\n'),
  );
  const text = await run(['check', file]);
  expect(text.code).toBe(1);
  expect(text.out).toBe('');
  expect(text.err).toMatch(/^\d problems:\n/);
  for (const want of [
    'bad.yaml:1:9 listen:',
    'bad.yaml:4:',
    'nodes.1.url:',
    'nodes.1.slotz:',
    'nodes.1.name:',
  ]) {
    expect(text.err).toContain(want);
  }
  const json = await run(['check', file, '--json']);
  expect(json.code).toBe(1);
  const { isValid, problems } = JSON.parse(json.out) as { isValid: boolean; problems: string[] };
  expect(isValid).toBe(false);
  expect(
    text.err
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.trim()),
  ).toEqual(problems);
});

it('check warns of what is valid and yet not wise', async () => {
  const { out, code } = await run(['check', '--admin', '0.0.0.0:9411']);
  expect(code).toBe(0);
  expect(out).toContain('! the admin interface listens on 0.0.0.0');
  expect(out).toContain('! no nodes');
});

it('envoy-config prints the bootstrap, as YAML that holds what was configured', async () => {
  const { code, out } = await run(['envoy-config', '--listen', '127.0.0.1:11501', '--state-dir', directory]);
  expect(code).toBe(0);
  const bootstrap = parse(out) as { static_resources: { listeners: { address: object }[] } };
  expect(bootstrap.static_resources.listeners[0]?.address).toMatchObject({
    socket_address: { address: '127.0.0.1', port_value: 11501 },
  });
});

it('envoy-config makes the file without which Envoy does not start, or says that it must exist', async () => {
  const good = join(directory, 'fresh');
  expect((await run(['envoy-config', '--state-dir', good])).err).toBe('');
  expect(JSON.parse(readFileSync(join(good, 'nodes', 'last-known.json'), 'utf8'))).toMatchObject({
    resources: [],
  });
  const { code, out, err } = await run([
    'envoy-config',
    '--state-dir',
    join(aFile('no-directory', ''), 'state'),
  ]);
  expect([code, err]).toEqual([0, expect.stringMatching(/starts only where .*last-known\.json exists/)]);
  expect(parse(out)).toHaveProperty('static_resources');
});

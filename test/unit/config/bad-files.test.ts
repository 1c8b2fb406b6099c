import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { loadText, problemsOf, variable } from './load-text.ts';

const bomb = [
  'a: &a [x,x,x,x,x,x,x,x,x]',
  ...'bcdefghi'.split('').map((k, i) => `${k}: &${k} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]`),
].join('\n');
const node = (...lines: string[]) =>
  `nodes:\n  - url: http://a\n${lines.map((line) => `    ${line}\n`).join('')}`;

describe('a bad file is refused with the place and the remedy (F86)', () => {
  it.each<{ name: string; text: string | Buffer; want: string[] }>([
    { name: 'broken syntax', text: 'listen: "x', want: ['warmpath.yaml:1:11 Missing closing "quote'] },
    {
      name: 'a tab',
      text: 'poll:\n\tinterval: 1s',
      want: ['warmpath.yaml:2:1 Tabs are not allowed as indentation'],
    },
    {
      name: 'a list at the top',
      text: '- 1',
      want: ['warmpath.yaml:1:1 (root): expected a section of KEY: VALUE'],
    },
    {
      name: 'text at the top',
      text: 'hello',
      want: ['warmpath.yaml:1:1 (root): expected a section of KEY: VALUE'],
    },
    {
      name: 'two documents',
      text: 'listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2',
      want: ['warmpath.yaml:2:1 a second document begins here; there may be one'],
    },
    {
      name: 'a key that stands twice',
      text: 'poll:\n  interval: 1s\n  jitter: 0\n  interval: 2s',
      want: ['warmpath.yaml:4:3 the key "interval" stands here twice'],
    },
    {
      name: 'a misspelt key',
      text: 'listn: 127.0.0.1:1',
      want: ['warmpath.yaml:1:1 listn: unknown key; did you mean "listen"?'],
    },
    {
      name: 'a key of another style',
      text: 'routing:\n  max_attempts: 2',
      want: ['warmpath.yaml:2:3 routing.max_attempts: unknown key; did you mean "maxAttempts"?'],
    },
    {
      name: 'a key from nowhere',
      text: 'limits:\n  zebra: 2',
      want: ['warmpath.yaml:2:3 limits.zebra: unknown key; known here: body'],
    },
    {
      name: 'a key with control characters',
      text: 'limits:\n  "a\\nb\\e": 2',
      want: ['warmpath.yaml:2:3 limits."a\\nb\\u001b": unknown key; known here: body'],
    },
    {
      name: 'the key __proto__',
      text: '__proto__:\n  listen: 127.0.0.1:1',
      want: [
        'warmpath.yaml:1:1 __proto__: unknown key; known here: listen, admin, adminToken, adminTokenFile, grpc, stateDir, nodes, poll, health, routing, limits, responseHeaders, origins, log, envoy, store, replicas, agents, discovery, waiting, rewrites, models, clients, decisions, extProc',
      ],
    },
    {
      name: 'a duration without a unit',
      text: 'poll:\n  interval: 5',
      want: ['warmpath.yaml:2:13 poll.interval: expected a duration such as "250ms" or "2s", got 5'],
    },
    {
      name: 'a duration with a blank',
      text: 'poll:\n  interval: 2 s',
      want: ['warmpath.yaml:2:13 poll.interval: expected a duration such as "250ms" or "2s", got "2 s"'],
    },
    {
      name: 'a duration out of range',
      text: 'poll:\n  interval: 1ms',
      want: ['warmpath.yaml:2:13 poll.interval: expected a duration from 100ms to 5m, got "1ms"'],
    },
    {
      name: 'a size without a unit',
      text: 'limits: { body: 64 }',
      want: ['warmpath.yaml:1:17 limits.body: expected a size such as "24GiB" or "500MiB", got 64'],
    },
    {
      name: 'text where a section belongs',
      text: 'poll: fast',
      want: ['warmpath.yaml:1:7 poll: expected a section of KEY: VALUE, got "fast"'],
    },
    {
      name: 'text where true or false belongs',
      text: 'responseHeaders: "yes"',
      want: ['warmpath.yaml:1:18 responseHeaders: expected true or false, got "yes"'],
    },
    {
      name: 'not a number',
      text: 'poll: { jitter: .nan }',
      want: ['warmpath.yaml:1:17 poll.jitter: expected a number from 0 to 1, got NaN'],
    },
    {
      name: 'a name to listen on',
      text: 'listen: gpu1:11434',
      want: [
        'warmpath.yaml:1:9 listen: expected HOST:PORT with an IP address, such as "0.0.0.0:11434" or "[::1]:9411", got "gpu1:11434"',
      ],
    },
    {
      name: 'two listeners on one port',
      text: 'admin: 127.0.0.1:11434',
      want: ['warmpath.yaml:1:8 admin: 127.0.0.1:11434 is taken by "listen"'],
    },
    {
      name: 'a socket path that is too long',
      text: `grpc: unix:/${'x'.repeat(120)}`,
      want: ["warmpath.yaml:1:7 grpc: a Unix socket's path may have 107 bytes at most, this one has 121"],
    },
    {
      name: 'a wrong order of times',
      text: 'health: { readmitAfter: 10m }',
      want: ['warmpath.yaml:1:25 health.readmitAfter: must not be longer than health.readmitMax'],
    },
    {
      name: 'nodes that are no list',
      text: 'nodes: {a: b}',
      want: ['warmpath.yaml:1:8 nodes: expected a list of nodes, got a section'],
    },
    {
      name: 'a node that is a bare URL',
      text: 'nodes:\n  - http://a',
      want: ['warmpath.yaml:2:5 nodes.0: expected a section with a "url", got "http://a"'],
    },
    {
      name: 'a node without a URL',
      text: 'nodes:\n  - name: a',
      want: ['warmpath.yaml:2:5 nodes.0.url: expected a URL such as "http://gpu1:11434", got nothing'],
    },
    {
      name: 'a node name that no header could carry',
      text: node('name: "a b"'),
      want: [
        'warmpath.yaml:3:11 nodes.0.name: expected 1 to 64 letters, digits, dots, dashes or underscores, got "a b"',
      ],
    },
    {
      name: 'a node twice',
      text: 'nodes:\n  - url: http://a\n  - name: b\n    url: https://A.:11434/',
      want: ['warmpath.yaml:4:10 nodes.1.url: has the host and port of nodes.0; each node is listed once'],
    },
    {
      name: 'a name twice',
      text: 'nodes:\n  - url: http://a\n  - name: a\n    url: http://b',
      want: ['warmpath.yaml:3:11 nodes.1.name: has the name "a", and so has nodes.0; names must differ'],
    },
    {
      name: 'our own address as a node',
      text: 'nodes:\n  - url: http://localhost:11434',
      want: [
        "warmpath.yaml:2:10 nodes.0.url: is Warmpath's own address 0.0.0.0:11434, so requests would go in a circle; let Ollama listen on another port, such as OLLAMA_HOST=127.0.0.1:11435",
      ],
    },
    {
      name: 'a variable that is not set',
      text: node(`token: ${variable('NOPE')}`),
      want: ['warmpath.yaml:3:12 nodes.0.token: the environment variable "NOPE" is not set'],
    },
    {
      name: 'a token that would split a header',
      text: node('token: "a\\r\\nb"'),
      want: ['warmpath.yaml:3:12 nodes.0.token: expected visible ASCII characters without blanks'],
    },
    {
      name: 'a token file that is missing beside a token',
      text: node('token: abc', 'tokenFile: nope'),
      want: [
        'warmpath.yaml:4:16 nodes.0.tokenFile: stands beside "token"; give one of them',
        'warmpath.yaml:4:16 nodes.0.tokenFile: the file does not exist',
      ],
    },
    {
      name: 'a CA that is none',
      text: 'nodes:\n  - url: https://a\n    tlsCa: warmpath.yaml',
      want: ['warmpath.yaml:3:12 nodes.0.tlsCa: the file holds no PEM certificate'],
    },
    {
      name: 'a CA for plain HTTP',
      text: node('tlsCa: warmpath.yaml'),
      want: [
        'warmpath.yaml:3:12 nodes.0.tlsCa: means something for https only',
        'warmpath.yaml:3:12 nodes.0.tlsCa: the file holds no PEM certificate',
      ],
    },
    {
      name: 'a label that is a number',
      text: node('labels: { gpu: 4090 }'),
      want: [
        'warmpath.yaml:3:20 nodes.0.labels.gpu: expected a text; put numbers and true or false in quotes, got 4090',
      ],
    },
    {
      name: 'an origin that is none',
      text: 'origins: ["chat.example.com"]',
      want: [
        'warmpath.yaml:1:11 origins.0: expected an origin such as "https://chat.example.com" or "app://*", got "chat.example.com"',
      ],
    },
    {
      name: 'an alias bomb',
      text: bomb,
      want: ['warmpath.yaml:1:1 Excessive alias count indicates a resource exhaustion attack'],
    },
    {
      name: 'an alias of nothing',
      text: 'listen: *x',
      want: ['warmpath.yaml:1:1 Unresolved alias (the anchor must be set before the alias): x'],
    },
    {
      name: 'an endless line',
      text: `x: ${'['.repeat(5_000)}`,
      want: ['warmpath.yaml:1:1 a line may have 4096 characters at most'],
    },
    {
      name: 'bytes that are no text',
      text: Buffer.from([0x61, 0xff, 0xfe]),
      want: ['DIR/warmpath.yaml is not UTF-8 text'],
    },
    {
      name: '10 MB',
      text: Buffer.alloc(10_000_000, 0x23),
      want: ['DIR/warmpath.yaml is larger than 1048576 bytes'],
    },
  ])('$name', async ({ text, want }) => {
    const lines = await problemsOf(loadText(text));
    expect(lines.map((line) => line.replace(/^\/.*\/(?=warmpath\.yaml)/, 'DIR/'))).toEqual(want);
  });

  it.each([
    ['ftp://a', 'expected http or https, got "ftp"'],
    ['file:///etc/passwd', 'expected http or https, got "file"'],
    ['gpu1:11434', 'expected a URL such as "http://gpu1:11434"'],
    ['http://', 'names no host'],
    ['http://user:secret@a', 'must not hold a user or password; use "token" or "tokenFile"'],
    ['http://10.0.0.1@evil', 'must not hold a user or password; use "token" or "tokenFile"'],
    ['http://a/v1', 'must be scheme, host and port only, without a path, query or fragment'],
    ['http://a?x', 'must be scheme, host and port only, without a path, query or fragment'],
    ['http://a#x', 'must be scheme, host and port only, without a path, query or fragment'],
    ['http://a\\b', 'expected a URL such as "http://gpu1:11434"'],
    ['http://a b', 'expected a URL such as "http://gpu1:11434"'],
    ['http://a\r\nb', 'expected a URL such as "http://gpu1:11434"'],
    ['http://a:0', 'expected a port from 1 to 65535'],
    ['http://a:65536', 'expected a port from 1 to 65535'],
    ['http://a:', 'expected a port from 1 to 65535'],
    ['http://-a', 'expected a DNS name or an IP address as host (IPv6 in brackets)'],
    ['http://a..b', 'expected a DNS name or an IP address as host (IPv6 in brackets)'],
    ['http://gpü', 'expected a DNS name or an IP address as host (IPv6 in brackets)'],
    ['http://fd00::1', 'expected a DNS name or an IP address as host (IPv6 in brackets)'],
    ['http://[fd00::1', 'expected a DNS name or an IP address as host (IPv6 in brackets)'],
    ['http://[10.0.0.1]', 'expected an IPv6 address in the brackets'],
    ['http://[fe80::1%25eth0]', 'expected a DNS name or an IP address as host (IPv6 in brackets)'],
    ['http://2130706433', 'expected an IPv4 address as four decimal numbers, such as "192.168.1.10"'],
    ['http://0x7f.1', 'expected an IPv4 address as four decimal numbers, such as "192.168.1.10"'],
    ['http://010.0.0.1', 'expected an IPv4 address as four decimal numbers, such as "192.168.1.10"'],
    ['http://256.1.1.1', 'expected an IPv4 address as four decimal numbers, such as "192.168.1.10"'],
    ['http://169.254.169.254', '169.254.169.254 is a link-local address, where cloud metadata services live'],
    ['http://[fe80::1]', 'fe80::1 is a link-local address, where cloud metadata services live'],
    [
      'http://[::ffff:169.254.169.254]',
      '::ffff:169.254.169.254 is a link-local address, where cloud metadata services live',
    ],
    ['http://[fd00:ec2::254]', 'fd00:ec2::254 is the address of a cloud metadata service'],
    ['http://100.100.100.200', '100.100.100.200 is the address of a cloud metadata service'],
    ['http://metadata.google.internal', 'is the name of a cloud metadata service'],
    ['http://0.0.0.0', '0.0.0.0 is the unspecified address, which names no machine'],
    ['http://[::]', ':: is the unspecified address, which names no machine'],
    ['http://224.0.0.1', '224.0.0.1 is a multicast address'],
    ['http://255.255.255.255', '255.255.255.255 is the broadcast address'],
    [`http://${'a'.repeat(400)}`, 'is too long'],
    [
      `http://${'a'.repeat(60)}.${'b'.repeat(60)}`,
      'has a host that is too long to serve as a name; add a "name"',
    ],
  ])('the URL %j', async (url, want) => {
    const lines = await problemsOf(loadText(`nodes: [{ url: ${JSON.stringify(url)} }]`));
    expect(lines).toEqual([`warmpath.yaml:1:16 nodes.0.url: ${want}`]);
  });

  it('every problem is reported at once, in the order of the file', async () => {
    const text = [
      'listen: 5',
      'poll:',
      '  interval: 2 s',
      '  intervall: 1s',
      'nodes:',
      '  - url: http://gpu1',
      '    weight: 0',
      '  - url: http://me:hunter2@gpu1',
      `    token: ${variable('NOPE')}`,
      '  - url: http://gpu1:11434',
      '  - url: http://127.0.0.1:9411',
      'log: { level: loud }',
    ].join('\n');
    const lines = await problemsOf(loadText(text));
    expect(lines.map((line) => line.split(' ')[0])).toEqual(
      ['1:9', '3:13', '4:3', '7:13', '8:10', '9:12', '10:10', '11:10', '12:15'].map(
        (at) => `warmpath.yaml:${at}`,
      ),
    );
    expect(lines.join('\n')).not.toContain('hunter2');
  });

  it('the error names the file, and shows no secret', async () => {
    const env = { HOME: '/home/me', SECRET: 'hunter2 with blanks' };
    await expect(loadText(node(`token: ${variable('SECRET')}`), { env })).rejects.toThrow(
      /^warmpath\.yaml is not valid:\n {2}warmpath\.yaml:3:12 nodes\.0\.token: expected visible ASCII characters without blanks$/,
    );
  });

  it('lines are found through aliases too', async () => {
    const text = 'nodes:\n  - url: http://a\n    labels: &l { x: 1 }\n  - url: http://b\n    labels: *l';
    const lines = await problemsOf(loadText(text));
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['warmpath.yaml:3:21', 'warmpath.yaml:3:21']);
  });

  it('sixty thousand problems are told in bounded time and space', async () => {
    const text = Array.from({ length: 60_000 }, (_, i) => `k${i}: 1`).join('\n');
    const start = performance.now();
    const lines = await problemsOf(loadText(text));
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe('… and more');
    expect(performance.now() - start).toBeLessThan(15_000);
  });

  it('a link to itself', async () => {
    const dir = tempDir();
    try {
      const file = join(dir.path, 'w.yaml');
      symlinkSync(file, file);
      expect(await problemsOf(loadConfig({ file, env: {}, localIps: [] }))).toEqual([
        `${file} is a symbolic link to itself`,
      ]);
    } finally {
      dir.remove();
    }
  });
});

import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { writeCertificate } from '../../support/certificate.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { problemsOf, variable } from './load-text.ts';

const env = { HOME: '/home/me' };
let dir: TempDir;

/** Loads `text` beside the files of this test. */
function load(text: string, options: Partial<LoadOptions> = {}) {
  const file = join(dir.path, 'w.yaml');
  writeFileSync(file, text);
  return loadConfig({ file, env, localIps: [], ...options });
}

function newKeyPair(name: string): void {
  const files = { key: join(dir.path, `${name}.key`), cert: join(dir.path, `${name}.pem`) };
  writeCertificate(files, { name: 'warmpath' });
}

beforeAll(() => {
  dir = tempDir();
  newKeyPair('a');
  newKeyPair('b');
  for (const [name, content] of [
    ['password', 'sesame with blanks\n'],
    ['join', 'a-token-of-some-length\n'],
    ['short', 'too-short\n'],
    ['empty', '\n'],
    ['text', 'no PEM at all\n'],
  ] as const) {
    writeFileSync(join(dir.path, name), content);
  }
  writeFileSync(join(dir.path, 'large'), 'x'.repeat(20_000));
});
afterAll(() => dir.remove());

describe('store', () => {
  it('is memory until an address makes it redis', async () => {
    expect((await load('')).config.store.kind).toBe('memory');
    expect((await load('store: { kind: memory }')).config.store.kind).toBe('memory');
    expect((await load('store: { url: redis://cache }')).config.store).toMatchObject({
      kind: 'redis',
      url: 'redis://cache:6379',
      tls: false,
    });
    const hosts = '[{ host: a, port: 1 }, { host: "fd00::1", port: 1 }]';
    expect((await load(`store: { sentinels: ${hosts} }`)).config.store.kind).toBe('redis');
    expect((await load(`store: { clusterNodes: ${hosts}, tls: true }`)).config.store).toMatchObject({
      kind: 'redis',
      url: undefined,
      tls: true,
      clusterNodes: [
        { host: 'a', port: 1 },
        { host: 'fd00::1', port: 1 },
      ],
    });
  });

  it('takes user and password out of the URL, decoded', async () => {
    const { config } = await load('store: { url: "rediss://me:a%40b%2F@cache:7000/3" }');
    expect(config.store).toMatchObject({
      url: 'rediss://cache:7000/3',
      username: 'me',
      password: 'a@b/',
      tls: true,
    });
  });

  it('replaces variables in the password, and in that of the URL, whatever stands in them', async () => {
    const options = { env: { ...env, PW: 'p@ss/w#rd?%' } };
    const inUrl = await load(`store: { url: "redis://:${variable('PW')}@cache" }`, options);
    expect(inUrl.config.store).toMatchObject({ url: 'redis://cache:6379', password: 'p@ss/w#rd?%' });
    const beside = await load(`store: { url: redis://cache, password: "x${variable('PW')}" }`, options);
    expect(beside.config.store.password).toBe('xp@ss/w#rd?%');
  });

  it('takes a password from the environment as it is', async () => {
    const { config } = await load('store: { password: other }', {
      env: { ...env, WARMPATH_REDIS: 'redis://cache', WARMPATH_STORE_PASSWORD: `a${variable('B')}` },
    });
    expect(config.store).toMatchObject({ kind: 'redis', password: `a${variable('B')}` });
  });

  it('reads the password from a file beside the configuration, and follows that file', async () => {
    const { config, files } = await load('store: { url: redis://cache, passwordFile: password }');
    expect(config.store.password).toBe('sesame with blanks');
    expect(config.store).not.toHaveProperty('passwordFile');
    expect(files).toContain(join(dir.path, 'password'));
  });

  it('can be named by flag and by environment, the flag first', async () => {
    const fromEnv = { ...env, WARMPATH_REDIS: 'redis://a' };
    expect((await load('', { env: fromEnv })).config.store.url).toBe('redis://a:6379');
    const both = await load('store: { url: redis://c }', { env: fromEnv, flags: { redis: 'redis://b:1' } });
    expect(both.config.store.url).toBe('redis://b:1');
    const long = await load('', { env: { ...fromEnv, WARMPATH_STORE_URL: 'redis://d' } });
    expect(long.config.store.url).toBe('redis://d:6379');
  });

  it('reads lists, numbers, truths and paths of the environment by their type', async () => {
    const { config } = await load('', {
      env: {
        ...env,
        WARMPATH_STORE_SENTINELS: 'a:26379, [fd00::1]:26380',
        WARMPATH_STORE_TLS: 'true',
        WARMPATH_STORE_TLS_CA: join(dir.path, 'a.pem'),
        WARMPATH_REPLICAS: '10.0.0.1:9412 10.0.0.2:9412',
        WARMPATH_AGENTS_MAX_NODES: '7',
        WARMPATH_AGENTS_ALLOW_LOOPBACK: '1',
        WARMPATH_DISCOVERY_TRUST: 'manual',
        WARMPATH_DISCOVERY_SOURCES: 'mdns,dns:ollama.lan localhost:24000-24010 file:nodes.yaml',
      },
    });
    expect(config.store).toMatchObject({
      kind: 'redis',
      tls: true,
      tlsCa: join(dir.path, 'a.pem'),
      sentinels: [
        { host: 'a', port: 26_379 },
        { host: 'fd00::1', port: 26_380 },
      ],
    });
    expect(config.replicas).toHaveLength(2);
    expect(config.agents).toMatchObject({ maxNodes: 7, allowLoopback: true });
    expect(config.discovery).toEqual({
      trust: 'manual',
      maxNodes: 1_000,
      sources: [
        { kind: 'mdns', interval: 30_000 },
        { kind: 'dns', name: 'ollama.lan', type: 'A', port: 11_434, interval: 30_000 },
        { kind: 'localhost', ports: '24000-24010', interval: 30_000 },
        { kind: 'file', path: resolve('nodes.yaml') },
      ],
    });
  });

  it.each([
    [
      'kind: redis',
      '1:16 store.kind: is redis, but nothing says where; give "url", "sentinels" or "clusterNodes"',
    ],
    [
      'kind: memory, url: redis://a',
      '1:16 store.kind: is memory beside "url", which means redis; give one of them',
    ],
    ['kind: mongo', '1:16 store.kind: expected one of memory, redis, got "mongo"'],
    [
      'sentinels: [{ host: a, port: 1 }], clusterNodes: [{ host: b, port: 1 }]',
      '1:59 store.clusterNodes: stands beside "sentinels"; give one of them',
    ],
    [
      'url: redis://a, sentinels: [{ host: b, port: 1 }]',
      '1:37 store.sentinels: stands beside "url"; give one of them',
    ],
    ['sentinels: [{ host: a, port: 1 }, { host: A, port: 1 }]', '1:21 store.sentinels: names a:1 twice'],
    ['sentinels: [a]', '1:22 store.sentinels.0: expected a section with "host" and "port", got "a"'],
    [
      'sentinels: [{ host: a, prt: 1, port: 1 }]',
      '1:33 store.sentinels.0.prt: unknown key; did you mean "port"?',
    ],
    [
      'sentinels: [{ host: "a b", port: 1 }]',
      '1:30 store.sentinels.0.host: expected a host name or IP address (IPv6 without brackets), got "a b"',
    ],
    [
      'url: redis://a, password: x, passwordFile: password',
      '1:53 store.passwordFile: stands beside "password"; give one of them',
    ],
    [
      'url: "redis://:hunter2@a", password: x',
      '1:47 store.password: stands beside the password in "url"; give one of them',
    ],
    [
      'url: "redis://:hunter2@a", passwordFile: password',
      '1:51 store.passwordFile: stands beside the password in "url"; give one of them',
    ],
    [
      'url: "redis://hunter2@a", username: x',
      '1:46 store.username: stands beside the username in "url"; give one of them',
    ],
    [
      'url: redis://a, tlsCa: a.pem',
      '1:33 store.tlsCa: means something with TLS only: write rediss:// in "url", or "tls: true"',
    ],
    ['url: rediss://a, tlsCa: text', '1:34 store.tlsCa: the file holds no PEM certificate'],
    ['url: rediss://a, tlsCa: nope', '1:34 store.tlsCa: the file does not exist'],
    ['url: rediss://a, tls: false', '1:32 store.tls: is false, but "url" says rediss, which is TLS'],
    [
      'url: redis://a, passwordFile: empty',
      '1:40 store.passwordFile: the file must hold one password on one line',
    ],
    ['url: redis://a, passwordFile: large', '1:40 store.passwordFile: the file is larger than 16384 bytes'],
    ['url: redis://a, password: 5', '1:36 store.password: expected a text'],
    [
      `url: redis://a, password: "${variable('NOPE')}"`,
      '1:36 store.password: the environment variable "NOPE" is not set',
    ],
    [`url: "redis://:${variable('NOPE')}@a"`, '1:15 store.url: the environment variable "NOPE" is not set'],
    [
      'url: redis://a, keyPrefix: "a b"',
      '1:37 store.keyPrefix: expected 1 to 64 letters, digits, colons, dots, dashes or underscores, got "a b"',
    ],
    [
      'url: redis://a, commandTimeout: 1m',
      '1:42 store.commandTimeout: expected a duration from 5ms to 10s, got "1m"',
    ],
    ['urll: redis://a', '1:10 store.urll: unknown key; did you mean "url"?'],
  ])('refuses %s', async (fields, want) => {
    const lines = await problemsOf(load(`store: { ${fields} }`));
    expect(lines).toEqual([`w.yaml:${want}`]);
    expect(lines.join()).not.toContain('hunter2');
  });

  it.each([
    ['cache:6379', 'expected a URL such as "redis://cache:6379/0"'],
    ['http://:hunter2@cache', 'expected redis or rediss (with TLS) before "://", got "http"'],
    ['redis://', 'names no host'],
    [
      'redis://:hunter2/x@cache',
      'is not a URL; in a password, write / as %2F, # as %23, ? as %3F and @ as %40, or use "passwordFile"',
    ],
    [
      'redis://cache:99999',
      'is not a URL; in a password, write / as %2F, # as %23, ? as %3F and @ as %40, or use "passwordFile"',
    ],
    ['redis://cache/zero', 'expected nothing or the number of a database after the port, such as "/0"'],
    [
      'redis://cache?hunter2',
      'must not have a query or fragment; in a password, write ? as %3F and # as %23',
    ],
    ['redis://:hunter2%zz@cache', 'has a "%" in its user or password that is no code; write it as %25'],
    ['redis://a,b', 'expected a DNS name or an IP address as host'],
  ])('refuses the URL %s, and quotes no password', async (url, want) => {
    const lines = await problemsOf(load(`store: { url: ${JSON.stringify(url)} }`));
    expect(lines).toEqual([`w.yaml:1:15 store.url: ${want}`]);
  });
});

describe('agents', () => {
  const token = 'joinToken: 0123456789abcdef';

  it('reads token and TLS from files', async () => {
    const { config, files } = await load(
      'agents: { listen: 0.0.0.0:9413, joinTokenFile: join, tlsCert: a.pem, tlsKey: a.key }',
    );
    expect(config.agents).toEqual({
      listen: { host: '0.0.0.0', port: 9_413 },
      joinToken: 'a-token-of-some-length',
      tlsCert: join(dir.path, 'a.pem'),
      tlsKey: join(dir.path, 'a.key'),
      maxNodes: 1_000,
      allowLoopback: false,
    });
    expect(files.slice(1).map((file) => file.split('/').at(-1))).toEqual(['join', 'a.pem', 'a.key']);
  });

  it('takes address and token from flag and environment', async () => {
    const { config } = await load('', {
      env: { ...env, WARMPATH_JOIN_TOKEN: '0123456789abcdef' },
      flags: { agents: ':9413' },
    });
    expect(config.agents).toMatchObject({
      listen: { host: '0.0.0.0', port: 9_413 },
      joinToken: '0123456789abcdef',
    });
  });

  it('lets the variable with the token stand for an agent on the same machine', async () => {
    const { config } = await load('', { env: { ...env, WARMPATH_JOIN_TOKEN: '0123456789abcdef' } });
    expect(config.agents.listen).toBeUndefined();
  });

  it.each([
    [
      'listen: 0.0.0.0:9413',
      '1:19 agents.listen: needs a "joinToken" (WARMPATH_JOIN_TOKEN) or "joinTokenFile": without one anybody could join as a node',
    ],
    [token, '1:22 agents.joinToken: means nothing without "listen", where agents report to'],
    [
      'listen: 0.0.0.0:9413, joinToken: short',
      '1:44 agents.joinToken: expected 16 or more visible ASCII characters without blanks',
    ],
    [
      'listen: 0.0.0.0:9413, joinTokenFile: short',
      '1:48 agents.joinTokenFile: the file must hold one token of 16 or more visible ASCII characters',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, joinTokenFile: join`,
      '1:77 agents.joinTokenFile: stands beside "joinToken"; give one of them',
    ],
    [`listen: 127.0.0.1:9411, ${token}`, '1:19 agents.listen: 127.0.0.1:9411 is taken by "admin"'],
    [`listen: 10.0.0.1:11434, ${token}`, '1:19 agents.listen: 10.0.0.1:11434 is taken by "listen"'],
    [
      `listen: gpu1, ${token}`,
      '1:19 agents.listen: expected HOST:PORT with an IP address, such as "0.0.0.0:11434" or "[::1]:9411", got "gpu1"',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, tlsCert: a.pem`,
      '1:71 agents.tlsCert: needs its private key in "tlsKey"',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, tlsKey: a.key`,
      '1:70 agents.tlsKey: needs its certificate in "tlsCert"',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, tlsCert: a.pem, tlsKey: b.key`,
      '1:86 agents.tlsKey: the key is not that of the certificate in "tlsCert"',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, tlsCert: text, tlsKey: a.key`,
      '1:71 agents.tlsCert: the file holds no PEM certificate',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, tlsCert: a.pem, tlsKey: text`,
      '1:86 agents.tlsKey: the file holds no PEM private key without a passphrase',
    ],
    [
      `listen: 0.0.0.0:9413, ${token}, tlsCert: a.pem, tlsKey: nope`,
      '1:86 agents.tlsKey: the file does not exist',
    ],
    ['maxNodes: 0', '1:21 agents.maxNodes: expected a whole number from 1 to 10000, got 0'],
  ])('refuses %s', async (fields, want) => {
    expect(await problemsOf(load(`agents: { ${fields} }`))).toEqual([`w.yaml:${want}`]);
  });
});

describe('the admin token', () => {
  it('comes from the file, a file of its own, or the environment', async () => {
    const [first, second, third] = [
      await load(`adminToken: "${variable('T')}"`, { env: { ...env, T: '0123456789abcdef' } }),
      await load('adminTokenFile: join'),
      await load('', { env: { ...env, WARMPATH_ADMIN_TOKEN: 'fedcba9876543210' } }),
    ];
    expect(first.config.adminToken).toBe('0123456789abcdef');
    expect(second.config.adminToken).toBe('a-token-of-some-length');
    expect(third.config.adminToken).toBe('fedcba9876543210');
    expect(second.config).not.toHaveProperty('adminTokenFile');
  });

  it('is not shown when it is refused', async () => {
    expect(await problemsOf(load('adminToken: hunter2'))).toEqual([
      'w.yaml:1:13 adminToken: expected 16 or more visible ASCII characters without blanks',
    ]);
  });
});

describe('replicas', () => {
  it('takes names, which stand for all of their addresses', async () => {
    const { config } = await load(
      'grpc: 127.0.0.1:1\nreplicas: ["warmpath-headless.ns.svc:9002", "10.0.0.2:1"]',
    );
    expect(config.replicas).toEqual([
      { kind: 'tcp', host: 'warmpath-headless.ns.svc', port: 9_002 },
      { kind: 'tcp', host: '10.0.0.2', port: 1 },
    ]);
  });

  it.each([
    [
      'grpc: 10.0.0.1:9412\nreplicas: ["10.0.0.1:9412"]',
      '2:12 replicas.0: is the address of "grpc", our own',
    ],
    ['replicas: ["10.0.0.1:1", "10.0.0.1:1"]', '1:26 replicas.1: is the address of replicas.0'],
    ['replicas: ["10.0.0.1:0"]', '1:12 replicas.0: must not have port 0: Envoy cannot find it'],
    [
      'replicas: [gpu1]',
      '1:12 replicas.0: expected "unix:/absolute/path.sock", HOST:PORT or NAME:PORT, got "gpu1"',
    ],
    [
      'grpc: 127.0.0.1:1\nreplicas: ["10.0.0.300:9413"]',
      '2:12 replicas.0: expected "unix:/absolute/path.sock", HOST:PORT or NAME:PORT, got "10.0.0.300:9413"',
    ],
    [
      'replicas: ["warmpath.ai.svc:9413"]',
      '1:12 replicas.0: is a name, which Envoy cannot ask beside a Unix socket; set "grpc" to HOST:PORT, such as 127.0.0.1:9413',
    ],
    [
      'grpc: 127.0.0.1:1\nreplicas: ["warmpath.ai.svc:9413", "unix:/a.sock"]',
      '2:36 replicas.1: is a Unix socket, which Envoy cannot ask beside a name; give HOST:PORT',
    ],
  ])('refuses %s', async (text, want) => {
    expect(await problemsOf(load(text))).toEqual([`w.yaml:${want}`]);
  });
});

describe('discovery', () => {
  it('makes paths absolute, from where the file lies', async () => {
    const { config } = await load(
      'discovery: { sources: [{ kind: file, path: n.yaml }, { kind: kubernetes, selector: a=b, kubeconfig: k }, ' +
        '{ kind: inferencepool, name: p, kubeconfig: k }] }',
    );
    expect(config.discovery.sources).toEqual([
      { kind: 'file', path: join(dir.path, 'n.yaml') },
      { kind: 'kubernetes', namespace: 'default', selector: 'a=b', kubeconfig: join(dir.path, 'k') },
      { kind: 'inferencepool', namespace: 'default', name: 'p', kubeconfig: join(dir.path, 'k') },
    ]);
  });

  it('takes sources from flags, which replace those of the file', async () => {
    const { config } = await load('discovery: { sources: [{ kind: mdns }] }', {
      flags: {
        discover: [
          'localhost',
          'dns:ollama.lan',
          'kubernetes:app.kubernetes.io/name=ollama',
          'inferencepool:ollama',
          'inferencepool:ai/ollama',
        ],
      },
    });
    expect(config.discovery.sources).toMatchObject([
      { kind: 'localhost', ports: '24000-24100' },
      { kind: 'dns', name: 'ollama.lan' },
      { kind: 'kubernetes', selector: 'app.kubernetes.io/name=ollama' },
      { kind: 'inferencepool', namespace: 'default', name: 'ollama' },
      { kind: 'inferencepool', namespace: 'ai', name: 'ollama' },
    ]);
  });

  it('names the flag that is wrong', async () => {
    const lines = await problemsOf(load('', { flags: { discover: ['dns', 'bonjour', 'mdns:x'] } }));
    expect(lines).toEqual([
      '--discover discovery.sources.0.name: expected a DNS name, got nothing',
      '--discover discovery.sources.1.kind: expected one of file, dns, localhost, mdns, kubernetes, inferencepool, got "bonjour"',
      '--discover discovery.sources.2.kind: expected one of file, dns, localhost, mdns, kubernetes, inferencepool, got "mdns:x"',
    ]);
  });

  const kinds =
    'expected a section whose "kind" is one of file, dns, localhost, mdns, kubernetes, inferencepool';
  it.each([
    [
      '{ kind: consul }',
      `1:33 discovery.sources.0.kind: expected one of file, dns, localhost, mdns, kubernetes, inferencepool, got "consul"`,
    ],
    ['mdns', `1:25 discovery.sources.0: ${kinds}, got "mdns"`],
    ['{ kind: dns, nam: x }', '1:38 discovery.sources.0.nam: unknown key; did you mean "name"?'],
    [
      '{ kind: file, name: x, path: y }',
      '1:39 discovery.sources.0.name: unknown key; known here: kind, path',
    ],
    [
      '{ kind: localhost, ports: "1" }',
      '1:51 discovery.sources.0.ports: expected a range such as "24000-24100", got "1"',
    ],
    [
      '{ kind: localhost, ports: 9-1 }',
      '1:51 discovery.sources.0.ports: expected the lower port first, got "9-1"',
    ],
    [
      '{ kind: localhost, ports: 0-5 }',
      '1:51 discovery.sources.0.ports: expected ports from 1 to 65535, got "0-5"',
    ],
    [
      '{ kind: localhost, ports: 1-4097 }',
      '1:51 discovery.sources.0.ports: expected 4096 ports at most, got "1-4097"',
    ],
    [
      '{ kind: dns, name: "a..b" }',
      '1:44 discovery.sources.0.name: expected a DNS name such as "ollama.lan", got "a..b"',
    ],
    ['{ kind: kubernetes }', '1:25 discovery.sources.0.selector: expected a label selector, got nothing'],
    [
      '{ kind: inferencepool, name: ai/ollama }',
      '1:54 discovery.sources.0.name: expected a name such as "ollama", got "ai/ollama"',
    ],
    [
      '{ kind: inferencepool, name: p }, { kind: inferencepool, name: p, namespace: default }',
      '1:59 discovery.sources.1: looks for the same as discovery.sources.0; each source is listed once',
    ],
    [
      '{ kind: mdns }, { kind: mdns }',
      '1:41 discovery.sources.1: looks for the same as discovery.sources.0; each source is listed once',
    ],
    [
      '{ kind: dns, name: a.b }, { kind: dns, name: A.b., port: 11434 }',
      '1:51 discovery.sources.1: looks for the same as discovery.sources.0; each source is listed once',
    ],
    [
      '{ kind: file, path: x }, { kind: file, path: ./x }',
      '1:50 discovery.sources.1: looks for the same as discovery.sources.0; each source is listed once',
    ],
  ])('refuses the source %s', async (source, want) => {
    const lines = await problemsOf(load(`discovery: { sources: [ ${source} ] }`));
    expect(lines.filter((line) => !line.includes('.name: expected a DNS name, got nothing'))).toEqual([
      `w.yaml:${want}`,
    ]);
  });

  it('lets sources of one kind stand beside one another', async () => {
    const text =
      'discovery: { sources: [{ kind: dns, name: a }, { kind: dns, name: a, type: SRV }, { kind: dns, name: a, port: 1 }] }';
    expect((await load(text)).config.discovery.sources).toHaveLength(3);
  });
});

describe('gpuMetrics', () => {
  const node = (fields: string) => `nodes: [{ url: http://a, gpuMetrics: { ${fields} } }]`;

  it('is taken over with its defaults', async () => {
    const { config } = await load(node('url: "http://[fd00::1]:9400/metrics?collect=gpu"'));
    expect(config.nodes[0]?.gpuMetrics).toEqual({
      url: 'http://[fd00::1]:9400/metrics?collect=gpu',
      match: {},
      intervalMs: 5_000,
    });
  });

  it.each([
    ['url: "gpu1:9400"', '1:45 nodes.0.gpuMetrics.url: expected a URL such as "http://gpu1:9400/metrics"'],
    ['url: "ftp://gpu1"', '1:45 nodes.0.gpuMetrics.url: expected http or https, got "ftp"'],
    ['url: "http://me:hunter2@gpu1/"', '1:45 nodes.0.gpuMetrics.url: must not hold a user or password'],
    [
      'url: "http://169.254.169.254/latest"',
      '1:45 nodes.0.gpuMetrics.url: 169.254.169.254 is a link-local address, where cloud metadata services live',
    ],
    [
      'url: "http://2130706433/"',
      '1:45 nodes.0.gpuMetrics.url: expected an IPv4 address as four decimal numbers, such as "192.168.1.10"',
    ],
    ['url: "http://a/b#c"', '1:45 nodes.0.gpuMetrics.url: expected a URL such as "http://gpu1:9400/metrics"'],
    [
      'url: "http://a/b\\r\\nc"',
      '1:45 nodes.0.gpuMetrics.url: expected a URL such as "http://gpu1:9400/metrics"',
    ],
    [
      'url: http://a, match: { gpu: 0 }',
      '1:69 nodes.0.gpuMetrics.match.gpu: expected a text; put numbers and true or false in quotes, got 0',
    ],
    [
      'url: http://a, match: { "a-b": x }',
      '1:64 nodes.0.gpuMetrics.match.a-b: is no name of a Prometheus label',
    ],
    [
      'url: http://a, every: 5s',
      '1:55 nodes.0.gpuMetrics.every: unknown key; known here: url, match, interval',
    ],
  ])('refuses %s', async (fields, want) => {
    expect(await problemsOf(load(node(fields)))).toEqual([`w.yaml:${want}`]);
  });
});

describe('no secret is told, however wrong it is and whatever else is wrong', () => {
  const S = 'hunter2hunter2hunter2';
  it.each([
    `adminToken: "${S} x"`,
    `adminToken: [${S}]`,
    `adminToken: { ${S}: 1 }`,
    `agents: { listen: "127.0.0.1:1", joinToken: "${S}\\u0007" }`,
    `agents: { joinToken: ${S} }`,
    `store: { url: "redis://me:${S}@ca che" }`,
    `store: { url: "redis://me:${S}@cache/x" }`,
    `store: { url: "${S}" }`,
    `store: { url: "redis://me:${S}@cache", sentinels: [{ host: a, port: 1 }], kind: memory, tlsCa: text }`,
    `store: { kind: redis, password: ${S} }`,
    `store: { url: redis://a, password: "${S}", passwordFile: password, keyPrefix: "a b" }`,
    `nodes: [{ url: "http://a", token: "${S} x" }, { url: "http://me:${S}@b" }]`,
    `nodes: [{ url: "http://a", gpuMetrics: { url: "http://me:${S}@b/metrics" } }]`,
    `nodes: [{ url: "http://a", gpuMetrics: { url: "${S}" } }]`,
  ])('%s', async (text) => {
    const lines = await problemsOf(load(`listen: here\n${text}\n`));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toContain('hunter2');
  });

  it('nor is what a file holds', async () => {
    writeFileSync(join(dir.path, 'two-lines'), `${S}\n${S}\n`);
    const lines = await problemsOf(
      load(
        'adminTokenFile: two-lines\nstore: { url: redis://a, passwordFile: two-lines }\nagents: { joinTokenFile: two-lines }',
      ),
    );
    expect(lines).toHaveLength(4);
    expect(lines.join('\n')).not.toContain('hunter2');
  });
});

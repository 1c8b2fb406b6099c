import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { ENVIRONMENT } from '../../../src/config/overrides.ts';
import { discoverySourceKeys } from '../../../src/config/schema.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { loadText, problemsOf, variable } from './load-text.ts';

const MiB = 1024 * 1024;
const env = { HOME: '/home/me' };
const load = (fields: Partial<Parameters<typeof loadConfig>[0]> = {}) =>
  loadConfig({ env, localIps: [], ...fields });

describe('without a file', () => {
  it('has every default', async () => {
    const { config, files } = await load();
    expect(files).toEqual([]);
    expect(config).toEqual({
      listen: { host: '0.0.0.0', port: 11_434 },
      admin: { host: '127.0.0.1', port: 9_411 },
      stateDir: '/home/me/.local/state/warmpath',
      nodes: [],
      poll: {
        interval: 1_000,
        tagsInterval: 10_000,
        versionInterval: 60_000,
        timeout: 2_000,
        connectTimeout: 750,
        jitter: 0.1,
        maxBodyBytes: 4 * MiB,
      },
      health: { downAfter: 2, readmitAfter: 2_000, readmitMax: 300_000, slowStart: 30_000 },
      routing: {
        maxAttempts: 3,
        firstByteTimeout: 60_000,
        loadTimeout: 300_000,
        answerTimeout: 600_000,
        defaultLoadRate: 500 * MiB,
      },
      limits: { body: 64 * MiB },
      responseHeaders: true,
      origins: [],
      log: { level: 'info', format: 'auto' },
      envoy: { drainTime: 30_000 },
      store: {
        kind: 'memory',
        keyPrefix: 'warmpath:',
        tls: false,
        sentinels: [],
        sentinelName: 'mymaster',
        clusterNodes: [],
        commandTimeout: 250,
      },
      replicas: [],
      extProc: {
        profile: 'own',
        minEndpoints: 1,
        tls: 'off',
        testSelection: false,
        outcomes: 'access-log',
        objectives: {},
      },
      agents: { maxNodes: 1_000, allowLoopback: false },
      discovery: { trust: 'token', sources: [], maxNodes: 1_000 },
      waiting: {
        maxWait: 30_000,
        maxRequests: 1_000,
        maxBytes: 256 * MiB,
        ageing: 10_000,
        defaultClass: 'normal',
        classes: {},
        trustHeaders: true,
      },
      rewrites: {
        numCtx: 'pin',
        numCtxBuckets: [],
        keepAliveMax: 86_400_000,
        unload: 'privileged',
        runnerOptions: 'pass',
        preloadsPerMinute: 30,
      },
      models: {},
      clients: [],
      decisions: { maxBytes: 256 * MiB },
    });
  });

  it('keeps its state where the system says', async () => {
    const { config } = await load({ env: { XDG_STATE_HOME: '/state' } });
    expect(config.stateDir).toBe('/state/warmpath');
  });

  it('takes nodes from flags', async () => {
    const { config } = await load({
      flags: { node: ['gpu1=http://10.0.0.1', 'https://gpu2.example', 'gpu3:8080'] },
    });
    expect(config.nodes.map(({ id, url }) => ({ id, ...url }))).toEqual([
      { id: 'gpu1', scheme: 'http', host: '10.0.0.1', port: 11_434 },
      { id: 'gpu2.example', scheme: 'https', host: 'gpu2.example', port: 443 },
      { id: 'gpu3-8080', scheme: 'http', host: 'gpu3', port: 8_080 },
    ]);
  });
});

describe('with a file', () => {
  it('reads everything that a node can have', async () => {
    const { config } = await loadText(
      [
        'nodes:',
        '  - name: a',
        '    url: http://[fd00::1]:8080/',
        `    token: ${variable('TOKEN')}-x`,
        '    slots: 4',
        '    vram: 24GiB',
        '    labels: { rack: a1 }',
        '    weight: 0.5',
        '    drain: true',
        '  - url: http://10.0.0.1',
      ].join('\n'),
      { env: { ...env, TOKEN: 'sesame' } },
    );
    expect(config.nodes).toEqual([
      {
        id: 'a',
        url: { scheme: 'http', host: 'fd00::1', port: 8_080 },
        token: 'sesame-x',
        tlsCaFile: undefined,
        slots: 4,
        vramBytes: 24 * 1024 * MiB,
        labels: { rack: 'a1' },
        weight: 0.5,
        drain: true,
      },
      {
        id: '10.0.0.1',
        url: { scheme: 'http', host: '10.0.0.1', port: 11_434 },
        token: undefined,
        tlsCaFile: undefined,
        slots: undefined,
        vramBytes: undefined,
        labels: {},
        weight: 1,
        drain: false,
      },
    ]);
  });

  it('reads a token from a file beside it', async () => {
    const dir = tempDir();
    try {
      writeFileSync(join(dir.path, 'token'), 'sesame\n');
      writeFileSync(join(dir.path, 'w.yaml'), 'nodes:\n  - url: http://a\n    tokenFile: token\n');
      const { config, files } = await load({ file: join(dir.path, 'w.yaml') });
      expect(config.nodes[0]?.token).toBe('sesame');
      expect(files).toEqual([join(dir.path, 'w.yaml'), join(dir.path, 'token')]);
    } finally {
      dir.remove();
    }
  });

  it.each(['', '# nothing yet\n', 'poll:\nnodes:\n', '{}'])('takes %j as nothing set', async (text) => {
    expect((await loadText(text)).config).toEqual((await load()).config);
  });

  it('takes the gRPC address as a socket or a port', async () => {
    expect((await loadText('grpc: unix:/run/w.sock')).config.grpc).toEqual({
      kind: 'unix',
      path: '/run/w.sock',
    });
    expect((await loadText('grpc: "[::1]:9412"')).config.grpc).toEqual({
      kind: 'tcp',
      host: '::1',
      port: 9_412,
    });
  });

  it('may be named by the environment', async () => {
    const dir = tempDir();
    try {
      const file = join(dir.path, 'w.yaml');
      writeFileSync(file, 'listen: 127.0.0.1:1\n');
      expect((await load({ env: { ...env, WARMPATH_CONFIG: file } })).config.listen.port).toBe(1);
    } finally {
      dir.remove();
    }
  });

  it('must exist when it is named', async () => {
    expect(await problemsOf(load({ file: '/nowhere/w.yaml' }))).toEqual(['/nowhere/w.yaml does not exist']);
    expect(await problemsOf(load({ file: '/tmp' }))).toEqual(['/tmp is a directory']);
  });
});

describe('precedence', () => {
  const text =
    'listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nlog: { level: warn, format: json }\nnodes: [{ url: http://file }]\n';

  it('puts flags over the environment over the file, setting by setting', async () => {
    const { config, sources } = await loadText(text, {
      env: {
        ...env,
        WARMPATH_ADMIN: '127.0.0.1:3',
        WARMPATH_LISTEN: '127.0.0.1:4',
        WARMPATH_LOG_LEVEL: ' debug ',
        WARMPATH_GRPC: '',
      },
      flags: { listen: '127.0.0.1:5', node: undefined },
    });
    expect(config.listen.port).toBe(5);
    expect(config.admin.port).toBe(3);
    expect(config.log).toEqual({ level: 'debug', format: 'json' });
    expect(config.grpc).toBeUndefined();
    expect(config.nodes.map(({ id }) => id)).toEqual(['file']);
    expect(Object.fromEntries(sources)).toEqual({
      listen: '--listen',
      admin: 'WARMPATH_ADMIN',
      log: 'warmpath.yaml:3:1',
      'log.level': 'WARMPATH_LOG_LEVEL',
      nodes: 'warmpath.yaml:4:1',
    });
  });

  it('replaces the whole list of nodes', async () => {
    const fromEnv = await loadText(text, {
      env: { ...env, WARMPATH_NODES: 'a=http://x, http://y\nz=https://z' },
    });
    expect(fromEnv.config.nodes.map(({ id }) => id)).toEqual(['a', 'y', 'z']);
    const fromFlags = await loadText(text, {
      env: { ...env, WARMPATH_NODES: 'http://x' },
      flags: { node: ['http://f'] },
    });
    expect(fromFlags.config.nodes.map(({ id }) => id)).toEqual(['f']);
  });

  it('has a variable for every setting, and reads them by their type', async () => {
    expect([...ENVIRONMENT.keys()]).toContain('WARMPATH_POLL_TAGS_INTERVAL');
    const { config } = await load({
      env: {
        ...env,
        WARMPATH_POLL_TAGS_INTERVAL: '20s',
        WARMPATH_POLL_JITTER: '0.25',
        WARMPATH_HEALTH_DOWN_AFTER: '7',
        WARMPATH_ROUTING_MAX_ATTEMPTS: '5',
        WARMPATH_ROUTING_DEFAULT_LOAD_RATE: '2GiB/s',
        WARMPATH_LIMITS_BODY: '1MiB',
        WARMPATH_RESPONSE_HEADERS: 'false',
        WARMPATH_ORIGINS: 'https://a.example app://*',
        WARMPATH_ENVOY_CONCURRENCY: '2',
        WARMPATH_ENVOY_PATH: '/bin/envoy',
        WARMPATH_STATE_DIR: '/s',
        WARMPATH_SERVICE_PORT: 'what Kubernetes sets for a service named warmpath',
      },
    });
    expect(config).toMatchObject({
      poll: { tagsInterval: 20_000, jitter: 0.25 },
      health: { downAfter: 7 },
      routing: { maxAttempts: 5, defaultLoadRate: 2048 * MiB },
      limits: { body: MiB },
      responseHeaders: false,
      origins: ['https://a.example', 'app://*'],
      envoy: { concurrency: 2, path: '/bin/envoy' },
      stateDir: '/s',
    });
  });

  it('names what a wrong value came from', async () => {
    const lines = await problemsOf(
      loadText('listen: here\n', {
        env: { ...env, WARMPATH_POLL_JITTER: 'much', WARMPATH_NODES: 'http://a http://a' },
        flags: { logLevel: 'loud' },
      }),
    );
    expect(lines).toEqual([
      'warmpath.yaml:1:9 listen: expected HOST:PORT with an IP address, such as "0.0.0.0:11434" or "[::1]:9411", got "here"',
      'WARMPATH_POLL_JITTER poll.jitter: expected a number from 0 to 1, got "much"',
      '--log-level log.level: expected one of trace, debug, info, warn, error, fatal, silent, got "loud"',
      'WARMPATH_NODES nodes.1.url: has the host and port of nodes.0; each node is listed once',
    ]);
  });
});

describe('warmpath.example.yaml', () => {
  const text = readFileSync(resolve(import.meta.dirname, '../../../warmpath.example.yaml'), 'utf8');

  it('is valid, and holds the defaults but for its example nodes', async () => {
    const { config } = await loadText(text, { env: { ...env, GPU2_TOKEN: 'sesame' } });
    expect({ ...config, nodes: [] }).toEqual((await load()).config);
    expect(config.nodes.map(({ id }) => id)).toEqual(['192.168.1.10', 'gpu2']);
  });

  it('is valid with its examples taken in, and shows every setting there is', async () => {
    const secrets = { GPU2_TOKEN: 'sesame', REDIS_PASSWORD: 'open', WARMPATH_JOIN_TOKEN: 'joinjoinjoinjoin' };
    const examples = {
      ...env,
      ...secrets,
      WARMPATH_OPERATOR_TOKEN: 'adminadminadmin!',
      CHAT_KEY: 'chatchatchatchat',
    };
    const known =
      'grpc|stateDir|path|concurrency|adminToken|url|kind|username|password|tls|listen|joinToken|sources|shadow|classes|' +
      'numCtxMax|keepAliveMin|models|clients|record|health|objectives';
    const all = text
      .replace(new RegExp(`^( *)# ((?:${known}): |sources:)`, 'gm'), '$1$2')
      .replace(/^( *)# {3}- \{/gm, '$1  - {')
      .replace('keyFile: admin-key', 'key: keykeykeykeykeykey');
    const { config } = await loadText(all, { env: examples });
    expect(config.envoy).toEqual({ path: '/usr/local/bin/envoy', concurrency: 4, drainTime: 30_000 });
    expect(config.store).toMatchObject({ kind: 'redis', url: 'rediss://cache.lan:6379/0', password: 'open' });
    expect(config.agents.listen?.port).toBe(9_412);
    expect(config.discovery.sources.map(({ kind }) => kind).sort()).toEqual(
      ['dns', 'file', 'inferencepool', 'kubernetes', 'localhost', 'mdns'].sort(),
    );
    expect(config.routing.shadow).toBe('least-in-flight');
    expect(config.rewrites).toMatchObject({ numCtxMax: 65_536, keepAliveMin: 300_000 });
    expect(config.extProc.objectives).toEqual({ chat: 'interactive', nightly: 'batch' });
    expect(config.extProc.health?.port).toBe(9_003);
    expect(config.models['gpt-4o']).toEqual(['qwen3:32b', 'llama3.1:8b']);
    expect(config.clients.map(({ key }) => key)).toEqual(['chatchatchatchat', 'keykeykeykeykeykey']);
    // Alternatives of one another cannot all be taken in.
    for (const path of ENVIRONMENT.values())
      expect(all).toMatch(new RegExp(`^ *(?:# )?${path.at(-1)}:`, 'm'));
    for (const keys of Object.values(discoverySourceKeys))
      for (const key of Object.keys(keys)) expect(all).toMatch(new RegExp(`^ *- \\{.*\\b${key}: `, 'm'));
  });
});

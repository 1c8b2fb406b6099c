import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { dataPlane, dataPlaneEach } from './dataplane/envoy-binary.ts';
import { type RawAnswer, raw } from './dataplane/raw-http.ts';
import { Stack } from './dataplane/stack.ts';

const BODY = '{"model":"m"}';

const ALLOWED = [
  'http://localhost',
  'https://localhost',
  'http://localhost:3000',
  'https://127.0.0.1:8443',
  'http://0.0.0.0:1',
  'app://obsidian.md',
  'file://',
  'tauri://localhost',
  'vscode-webview://abc',
  'vscode-file://vscode-app',
  // configured
  'https://chat.example.com',
  'http://apps.example.org:8080',
  'chrome-extension://abcdef',
];

const FOREIGN = [
  'http://evil.example',
  'https://evil.example',
  'null',
  '',
  'http://localhost.evil.example',
  'http://localhost:3000.evil.example',
  'http://127.0.0.1.evil.example',
  'http://xlocalhost',
  'http://evil.example/localhost',
  'https://chat.example.com.evil.example',
  'https://chatXexample.com',
  'http://chat.example.com',
  'moz-extension://abcdef',
  'http://localhost, http://evil.example',
];

dataPlaneEach([
  { state: 'alive', control: true },
  { state: 'dead', control: false },
])('S30: origins, with the control plane $state', ({ control }) => {
  let stack: Stack;
  beforeAll(async () => {
    const origins = ['https://chat.example.com', 'http://*.example.org:8080', 'chrome-extension://*'];
    stack = await Stack.start({ control, overrides: { origins } });
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
  });
  afterAll(() => stack?.stop());
  beforeEach(() => stack.reset());

  const ask = (
    method: string,
    origin: string | undefined,
    extra = '',
    path = '/api/chat',
  ): Promise<RawAnswer> => {
    const body = method === 'POST' ? BODY : '';
    const originLine = origin === undefined ? '' : `Origin: ${origin}\r\n`;
    const host = /Host:/i.test(extra) ? '' : 'Host: localhost\r\n';
    const head = `${method} ${path} HTTP/1.1\r\n${host}${originLine}${extra}`;
    return raw(stack.envoy.port, `${head}Content-Length: ${body.length}\r\n\r\n${body}`);
  };

  it.each(ALLOWED)('%s may call us, and may read the answer', async (origin) => {
    const { status, headers } = await ask('POST', origin);
    expect(status).toBe(200);
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-expose-headers')).toContain('x-warmpath-node');
    // A node would refuse an origin that only we were told of.
    expect(stack.node().received[0]?.headers).not.toHaveProperty('origin');
  });

  it.each(ALLOWED)('a preflight of %s is answered without a node', async (origin) => {
    const { status, headers, body } = await ask('OPTIONS', origin, 'Access-Control-Request-Method: POST\r\n');
    expect([status, body]).toEqual([204, '']);
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-allow-methods')).toBe('GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS');
    expect(headers.get('access-control-allow-headers')).toContain('X-Stainless-Arch');
    expect(headers.get('access-control-max-age')).toBe('43200');
    expect([...headers.keys()].filter((name) => name.startsWith('x-'))).toEqual([]);
    expect(stack.reached).toBe(0);
    expect(stack.control.asked).toEqual([]);
  });

  it.each(FOREIGN)('%j is refused before anything is read', async (origin) => {
    for (const method of ['POST', 'OPTIONS']) {
      const { status, headers, body } = await ask(method, origin, 'Content-Type: text/plain\r\n');
      expect(status, method).toBe(403);
      expect(headers.has('access-control-allow-origin')).toBe(false);
      expect(JSON.parse(body)).toEqual({ error: expect.stringContaining('origin') });
    }
    for (const path of ['/', '/api/tags', '/v1/models'])
      expect((await ask('GET', origin, '', path)).status, path).toBe(403);
    expect(stack.reached).toBe(0);
    expect(stack.control.asked).toEqual([]);
  });

  it('two Origin headers are as foreign as the worse of them', async () => {
    expect((await ask('POST', 'http://localhost', 'Origin: http://evil.example\r\n')).status).toBe(403);
    expect((await ask('POST', 'http://evil.example', 'Origin: http://localhost\r\n')).status).toBe(403);
    expect(stack.reached).toBe(0);
  });

  it('a page of our own host passes, and no Origin at all is fine', async () => {
    const own = 'Host: gpu.internal:11434\r\n';
    expect((await ask('POST', 'http://gpu.internal:11434', own)).status).toBe(200);
    expect((await ask('POST', 'https://gpu.internal:11434', own)).status).toBe(200);
    expect((await ask('POST', 'http://gpu.internal:80', own)).status).toBe(403);
    expect((await ask('POST', 'http://evilgpu.internal:11434', own)).status).toBe(403);
    expect((await ask('POST', 'ftp://gpu.internal:11434', own)).status).toBe(403);
    expect((await ask('POST', undefined, own)).status).toBe(200);
  });
});

dataPlane('origins: *', () => {
  it('lets any page in when told so', async () => {
    const stack = await Stack.start({ control: false, overrides: { origins: ['*'] } });
    const response = await stack.post('/api/chat', BODY, { origin: 'http://evil.example' });
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-origin')).toBe('http://evil.example');
    await stack.stop();
  });
});

dataPlane('S08: DNS rebinding', () => {
  const status = async (stack: Stack, host: string): Promise<number> =>
    (await raw(stack.envoy.port, `GET /api/tags HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status;

  it('on a loopback listener only local Hosts are served', async () => {
    const stack = await Stack.start({ control: false, overrides: { hostnames: ['GPU-box'] } });
    const port = stack.envoy.port;
    const local = [
      'localhost',
      `LOCALHOST:${port}`,
      '127.0.0.1',
      `127.1.2.3:${port}`,
      '[::1]:11434',
      '10.1.2.3',
    ];
    const named = [
      'gpu-box',
      'GPU-BOX:11434',
      'nas.local',
      'a.b.internal',
      'x.localhost',
      '192.168.1.5:11434',
      '172.20.0.1',
    ];
    const foreign = [
      'evil.example',
      'localhost.evil.example',
      '8.8.8.8',
      '172.32.0.1',
      'evil.example:11434',
      'a/b?c',
    ];
    for (const host of [...local, ...named]) expect(await status(stack, host), host).toBe(200);
    stack.reset();
    for (const host of foreign) expect([400, 403], host).toContain(await status(stack, host));
    expect(stack.reached).toBe(0);
    await stack.stop();
  });

  it('on all interfaces any Host is served, as Ollama does', async () => {
    const probe = await Stack.start({ control: false });
    const { port } = probe.envoy;
    await probe.stop();
    const stack = await Stack.start({ control: false, overrides: { listen: { host: '0.0.0.0', port } } });
    expect(await status(stack, 'gateway.example.com')).toBe(200);
    await stack.stop();
  });
});

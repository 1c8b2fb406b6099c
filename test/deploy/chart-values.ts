/** Values that show all that the chart can do, by name. */
export const VALUES = {
  default: {},
  minimal: {
    replicas: 1,
    nodes: [{ name: 'gpu1', url: 'http://10.0.0.11:11434' }],
    serviceAccount: { create: false },
    rbac: { create: false },
    networkPolicy: { enabled: false },
    podDisruptionBudget: { enabled: false },
  },
  redis: { redis: { enabled: true, persistence: { enabled: true } } },
  failover: {
    nodes: [{ name: 'gpu1', url: 'http://10.0.0.11:11434' }],
    redis: { enabled: true },
    failover: { enabled: true },
  },
  epp: {
    mode: 'epp',
    discovery: { trust: 'lan', sources: [] },
    endpointPicker: {
      objectives: { chat: 'interactive' },
      inferencePool: { create: true, name: 'ollama', selector: { app: 'ollama' } },
    },
  },
  'epp with files': {
    mode: 'epp',
    nodes: [{ name: 'gpu1', url: 'http://10.0.0.11:11434' }],
    endpointPicker: { profile: 'epp-single', tls: 'files', tlsSecret: 'picker-tls' },
  },
  everything: {
    image: { repository: 'registry.example/warmpath', digest: `sha256:${'0'.repeat(64)}` },
    imagePullSecrets: [{ name: 'pull' }],
    nodes: [
      { name: 'gpu1', url: 'http://10.0.0.11:11434', slots: 4, vram: '24GiB', labels: { rack: 'a1' } },
      {
        name: 'gpu2',
        url: 'https://gpu2.example.com',
        tokenSecret: { name: 'ollama-tokens', key: 'gpu2' },
        tlsCaSecret: { name: 'ollama-ca', key: 'ca.crt' },
      },
    ],
    discovery: {
      trust: 'lan',
      sources: [
        { kind: 'kubernetes', selector: 'app=ollama' },
        { kind: 'kubernetes', selector: 'app=ollama', namespace: 'gpus' },
        { kind: 'inferencepool', name: 'ollama' },
        { kind: 'dns', name: 'ollama.lan' },
      ],
    },
    clients: [{ name: 'chat', keySecret: { name: 'clients', key: 'chat' }, class: 'interactive' }],
    config: {
      routing: { loadTimeout: '10m' },
      models: { 'gpt-4o': ['qwen3:32b'] },
      log: { level: 'debug' },
      envoy: { concurrency: 2 },
    },
    adminTokenSecret: { name: 'operator', key: 'token' },
    store: {
      url: 'rediss://cache.example:6379/0',
      username: 'warmpath',
      passwordSecret: { name: 'redis', key: 'password' },
      tlsCaSecret: { name: 'redis', key: 'ca.crt' },
    },
    agents: { enabled: true, joinTokenSecret: { name: 'join', key: 'token' }, tlsSecret: 'agents-tls' },
    service: { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8'] },
    ingress: { enabled: true, className: 'nginx', host: 'ollama.example.com', tlsSecret: 'ingress-tls' },
    httpRoute: { enabled: true, parentRefs: [{ name: 'eg' }], hostnames: ['ollama.example.com'] },
    networkPolicy: { clients: [{ podSelector: {} }] },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
    env: [{ name: 'TZ', value: 'UTC' }],
    tolerations: [{ operator: 'Exists' }],
    nodeSelector: { pool: 'general' },
  },
} as const satisfies Readonly<Record<string, object>>;

export type ValuesName = keyof typeof VALUES;
export const VALUES_NAMES = Object.keys(VALUES) as ValuesName[]; // the keys just written

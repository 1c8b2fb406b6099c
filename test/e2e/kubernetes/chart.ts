export const CHART = 'deploy/helm/warmpath';

const secret = (key: string) => ({ name: 'warmpath', key });

/** Clients' requests come in through the chart's own Envoy. */
export const EVERYTHING: object = {
  nodes: [
    { name: 'gpu1', url: 'http://10.0.0.11:11434', slots: 4 },
    { name: 'gpu2', url: 'https://gpu2.example.com', tokenSecret: secret('gpu2') },
  ],
  discovery: {
    trust: 'token',
    sources: [
      { kind: 'kubernetes', selector: 'app=ollama' },
      { kind: 'inferencepool', name: 'ollama', namespace: 'ai' },
    ],
  },
  clients: [{ name: 'chat', keySecret: secret('chat'), class: 'interactive' }],
  redis: { enabled: true, persistence: { enabled: true } },
  agents: { enabled: true, joinTokenSecret: secret('join'), tlsSecret: 'agents-tls' },
  service: { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8'] },
  ingress: { enabled: true, className: 'nginx', host: 'ollama.example.com', tlsSecret: 'tls' },
  httpRoute: { enabled: true, parentRefs: [{ name: 'gateway' }], hostnames: ['ollama.example.com'] },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true },
  dashboard: { enabled: true },
};

/** Another gateway asks. */
export const PICKER: object = {
  mode: 'epp',
  endpointPicker: {
    profile: 'epp',
    minEndpoints: 3,
    objectives: { chat: 'interactive' },
    inferencePool: { create: true, selector: { app: 'ollama' }, targetPorts: [11_434, 11_435] },
  },
  serviceMonitor: { enabled: true },
};

/** Values that together switch on everything that the chart can create. */
export const CHART_VALUES: readonly { readonly name: string; readonly values: object }[] = [
  { name: 'its defaults', values: {} },
  { name: 'a gateway with everything', values: EVERYTHING },
  { name: 'an endpoint picker with its pool', values: PICKER },
];

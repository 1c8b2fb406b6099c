/**
 * node test/bench/parts.ts [--rounds N] [--seconds N] [--clients N] [--body BYTES]
 *
 * What each part of our Envoy's configuration costs. Envoys beside each other ask one control plane over the same mock nodes; each
 * lacks one part more than the one before it. Prints the CPU of Envoy per request, the difference that the part makes, and the share
 * of bare Envoy's requests per second. Rounds interleaved; the differences of a single run are good to about 0.01 ms.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import { freePort } from '../support/free-port.ts';
import { BenchRig, type Contender, shareOfBare } from './lib/rig.ts';
import { median, spread } from './lib/stats.ts';

/** As far as it is looked at here. */
interface Bootstrap {
  admin?: object;
  static_resources: {
    listeners: {
      address: { socket_address: { address: string; port_value: number } };
      filter_chains: { filters: { typed_config: Http }[] }[];
    }[];
  };
}

/** An HttpConnectionManager. */
interface Http {
  http_filters: { name: string; typed_config: Record<string, unknown> }[];
  [field: string]: unknown;
}

/** In the order in which they are left out. */
const PARTS: Readonly<Record<string, (http: Http) => void>> = {
  'the tap (Lua)': (http) => dropFilters(http, 'tap'),
  'the access log': (http) => {
    delete http.access_log;
  },
  // The bones are still cut; requests go over the last known nodes.
  ext_proc: (http) => dropFilters(http, 'ext_proc'),
  'the bones (Lua)': (http) => dropFilters(http, 'bones'),
  'guards: loops, origins, foreign headers': (http) => {
    dropFilters(http, 'loop', 'cors', 'origin');
    delete http.early_header_mutation_extensions;
    delete http.local_reply_config;
  },
};

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '2' },
    clients: { type: 'string', default: '32' },
    body: { type: 'string', default: '300' },
  },
});

await BenchRig.run(async (rig) => {
  const nodes = await rig.startNodes();
  const warmpath = await rig.startWarmpath(nodes);
  const whole = readFileSync(join(warmpath.stateDir, 'envoy.yaml'), 'utf8');
  const contenders: Record<string, Contender> = {
    bare: await rig.startBare(nodes),
    everything: { url: warmpath.url, envoy: warmpath.pids.envoy, picker: warmpath.pids.controlPlane },
  };
  for (const [at, part] of Object.keys(PARTS).entries())
    contenders[part] = await startWithout(rig, whole, Object.values(PARTS).slice(0, at + 1));
  const load = {
    path: '/api/chat',
    clients: Number(values.clients),
    bodyBytes: Number(values.body),
    seconds: Number(values.seconds),
  };
  const samples = await rig.compare(contenders, load, Number(values.rounds));
  const { bare = [], everything = [], ...without } = samples;
  const cpu = (of: typeof bare) => of.map(({ envoyCpuMs }) => envoyCpuMs);
  const row = (name: string, own: typeof bare, part: string) =>
    `${name.padEnd(48)}  ${spread(cpu(own), 3).padEnd(20)}  ${part.padStart(7)}  ${spread(shareOfBare(bare, own))}\n`;
  process.stdout.write(
    `${values.clients} clients, ${values.body} B\n${''.padEnd(48)}  Envoy, CPU ms         part     share of bare\n${row('everything', everything, '')}`,
  );
  let before = everything;
  for (const [part, own] of Object.entries(without)) {
    // Round by round: what the machine did meanwhile hit both.
    const differences = own.map(({ envoyCpuMs }, i) => (before[i]?.envoyCpuMs ?? Number.NaN) - envoyCpuMs);
    process.stdout.write(row(`… without ${part}`, own, median(differences).toFixed(3)));
    before = own;
  }
  process.stdout.write(row('bare Envoy', bare, ''));
  const failed = Object.values(samples)
    .flat()
    .filter(({ load: { errors } }) => errors > 0).length;
  if (failed > 0) throw new Error(`requests failed in ${failed} samples: the figures mean nothing`);
});

async function startWithout(
  rig: BenchRig,
  whole: string,
  drops: readonly ((http: Http) => void)[],
): Promise<Contender> {
  const port = await freePort();
  const bootstrap = parse(whole) as Bootstrap; // sound: Warmpath wrote it
  delete bootstrap.admin;
  const [listener] = bootstrap.static_resources.listeners;
  const http = listener?.filter_chains[0]?.filters[0]?.typed_config;
  if (listener === undefined || http === undefined) throw new Error('the bootstrap has no listener');
  listener.address.socket_address = { address: '127.0.0.1', port_value: port };
  for (const drop of drops) drop(http);
  const file = join(rig.dir, `without-${drops.length}.yaml`);
  writeFileSync(file, stringify(bootstrap));
  return await rig.startEnvoy(file, port);
}

function dropFilters(http: Http, ...names: readonly string[]): void {
  http.http_filters = http.http_filters.filter(({ name }) => !names.includes(name));
  dropPerRoute(http, names);
}

/** What routes say of filters that are not there. */
function dropPerRoute(part: unknown, names: readonly string[]): void {
  if (typeof part !== 'object' || part === null) return;
  for (const [key, value] of Object.entries(part)) {
    if (key === 'typed_per_filter_config') for (const name of names) Reflect.deleteProperty(value, name);
    else dropPerRoute(value, names);
  }
}

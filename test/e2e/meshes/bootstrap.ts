import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

// biome-ignore lint/suspicious/noExplicitAny: Envoy's and Kubernetes' documents as they are parsed; the tests reach deep into them
export type Loose = any;
/** An Envoy bootstrap, or a part of one. */
export type Bootstrap = Record<string, Loose>;

/** Where a file of `deploy/` lies. */
export function deployPath(name: string): string {
  return fileURLToPath(new URL(`../../../deploy/${name}`, import.meta.url));
}

/** One document below `deploy/`, anew with each call: tests change what they get. */
export function deployYaml(name: string): Loose {
  return structuredClone(parse(readFileSync(deployPath(name), 'utf8')));
}

/** All documents of one file below `deploy/`. */
export function deployManifests(name: string): Loose[] {
  return manifests(readFileSync(deployPath(name), 'utf8'), name);
}

/** The documents of a text, which must all be valid. */
export function manifests(text: string, name = 'text'): Loose[] {
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${name}: ${error.message}`);
    return document.toJS();
  });
}

/** Listeners listen on `port`, and each address that `where` names is replaced: `host:port` → port on loopback. */
export function onLoopback(
  bootstrap: Bootstrap,
  port: number,
  where: ReadonlyMap<string, number>,
): Bootstrap {
  const result: Bootstrap = structuredClone(bootstrap);
  const { listeners, clusters } = result.static_resources;
  listeners[0].address.socket_address = { address: '127.0.0.1', port_value: port };
  for (const cluster of clusters)
    for (const { lb_endpoints } of cluster.load_assignment?.endpoints ?? [])
      for (const { endpoint } of lb_endpoints) {
        const socket = endpoint.address.socket_address;
        const found = where.get(`${socket.address}:${socket.port_value}`);
        if (found === undefined) throw new Error(`nothing stands for ${socket.address}:${socket.port_value}`);
        Object.assign(socket, { address: '127.0.0.1', port_value: found });
        if (cluster.type === 'STRICT_DNS') cluster.type = 'STATIC';
      }
  return result;
}

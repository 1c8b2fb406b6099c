import { createServer } from 'node:net';
import { formatHostPort, urlHost } from '../../app/host-port.ts';
import { EnvoyError } from '../bootstrap/envoy-error.ts';

const WHO_TIMEOUT_MS = 500;

/** Throws an EnvoyError with the remedy where clients could not be listened for. Envoy itself would share the port. */
export async function requireFreePort({ host, port }: { host: string; port: number }): Promise<void> {
  const problem = await tryListen(host, port);
  switch (problem) {
    case undefined:
      return;
    case 'EADDRINUSE': {
      const other = formatHostPort({ host, port: port + 1 });
      const who = (await isOllama(host, port))
        ? ' by Ollama itself: stop it'
        : ' (is Ollama itself running here?): stop what listens there';
      throw new EnvoyError(`port ${port} is taken${who}, or use --listen ${other}`);
    }
    case 'EACCES':
      throw new EnvoyError(
        `port ${port} needs more rights than this user has: use --listen with a port above 1023`,
      );
    case 'EADDRNOTAVAIL':
      throw new EnvoyError(
        `${host} is not an address of this machine: use --listen 0.0.0.0:${port} or one that is`,
      );
    default:
      throw new EnvoyError(`cannot listen on ${host}:${port}: ${problem}`);
  }
}

/** The error code of an attempt to listen; undefined where it worked. */
function tryListen(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  return promise;
}

async function isOllama(host: string, port: number): Promise<boolean> {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : urlHost(host);
  try {
    const response = await fetch(`http://${reachable}:${port}/`, {
      signal: AbortSignal.timeout(WHO_TIMEOUT_MS),
    });
    return (await response.text()).includes('Ollama is running');
  } catch {
    return false; // whoever it is does not say
  }
}

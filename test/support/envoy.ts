import { firstExecutable, onPath, type RealProgram } from './find-program.ts';

/** The Envoy that tests run: ENVOY, else PATH. */
export async function realEnvoy(): Promise<RealProgram> {
  return {
    name: 'Envoy',
    path: firstExecutable([process.env.ENVOY, ...onPath('envoy')]),
    missing: 'Envoy is missing: set ENVOY or put envoy on PATH',
  };
}

/** Path of Envoy, for programs that cannot do without. */
export async function requireEnvoy(): Promise<string> {
  const { path, missing } = await realEnvoy();
  if (path === undefined) throw new Error(missing);
  return path;
}

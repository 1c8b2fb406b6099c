import { execFileSync } from 'node:child_process';

/** The Envoy that these tests run: `ENVOY`, or the one on PATH; undefined with the reason where there is none. */
export function envoyBinary(): { path: string; missing?: undefined } | { path?: undefined; missing: string } {
  const path = process.env.ENVOY ?? 'envoy';
  try {
    execFileSync(path, ['--version'], { stdio: 'ignore' });
    return { path };
  } catch {
    const missing = `no Envoy: set ENVOY or put envoy on PATH (tried ${path})`;
    if (process.env.CI === 'true') throw new Error(missing);
    return { missing };
  }
}

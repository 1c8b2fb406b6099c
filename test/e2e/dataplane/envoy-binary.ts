import { realEnvoy } from '../../support/envoy.ts';

const { path, missing } = await realEnvoy();

/** The Envoy that these tests run; undefined with the reason where there is none. Throws instead where CI=true. */
export function envoyBinary(): { path: string; missing?: undefined } | { path?: undefined; missing: string } {
  if (path !== undefined) return { path };
  if (process.env.CI === 'true') throw new Error(missing);
  return { missing };
}

import { describe } from 'vitest';
import { realEnvoy } from '../../support/envoy.ts';
import { describeReal } from '../../support/require-real.ts';

const program = await realEnvoy();
const { path, missing } = program;

/** The Envoy that these tests run; undefined with the reason where there is none. Throws instead where CI=true. */
export function envoyBinary(): { path: string; missing?: undefined } | { path?: undefined; missing: string } {
  if (path !== undefined) return { path };
  if (process.env.CI === 'true') throw new Error(missing);
  return { missing };
}

/** Tests that need Envoy. */
export function dataPlane(title: string, body: () => void): void {
  describeReal(program, title, body);
}

/** The same for each case. */
export function dataPlaneEach<Case extends object>(cases: readonly Case[]) {
  return (title: string, body: (given: Case) => void): void =>
    dataPlane('with each of', () => describe.each(cases)(title, body));
}

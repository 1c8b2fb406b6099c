/** Three numbers, most significant first. */
export type Version = readonly [number, number, number];

/** Below it, known holes in ext_proc and HTTP/2 are open. */
export const MINIMUM_ENVOY: Version = [1, 39, 1];

/** What is installed where no Envoy is found: the version that the tests run against. */
export const PINNED_ENVOY = '1.40.0';

/** The version in what `envoy --version` prints; undefined where there is none. */
export function parseVersion(output: string): Version | undefined {
  const found = /version: [0-9a-f]+\/(\d+)\.(\d+)\.(\d+)/.exec(output);
  return found === null ? undefined : [Number(found[1]), Number(found[2]), Number(found[3])];
}

export function isAtLeast(version: Version, minimum: Version): boolean {
  for (const [i, part] of version.entries()) {
    const wanted = minimum[i] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

export function printVersion(version: Version): string {
  return version.join('.');
}

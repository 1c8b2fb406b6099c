import type { Environment } from './overrides.ts';

/** Replaces each `${VAR}`; calls `fail` for one that is not set. The environment's values appear in no message. */
export function expandVariables(text: string, env: Environment, fail: (message: string) => void): string {
  return text.replace(/\$\{([^}]*)\}/g, (_, variable: string) => {
    const found = /^[A-Za-z_][A-Za-z0-9_]*$/.test(variable) ? env[variable] : undefined;
    if (found !== undefined && found !== '') return found;
    fail(`the environment variable ${JSON.stringify(variable.slice(0, 64))} is not set`);
    // Long enough for every rule: one problem needs no second line.
    return 'unset-unset-unset';
  });
}

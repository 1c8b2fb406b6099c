import type { LoadedConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';

/** Refuses settings with which the Envoy that Warmpath configures cannot work, each with where it comes from. */
export function checkForOwnEnvoy({ config, sources }: LoadedConfig, command: 'up' | 'envoy-config'): void {
  const { profile, tls } = config.extProc;
  const lines: string[] = [];
  const fail = (key: string, message: string): void => {
    const source = sources.get(`extProc.${key}`) ?? sources.get('extProc');
    lines.push(`${source === undefined ? '' : `${source} `}extProc.${key}: ${message}`);
  };
  const remedy =
    command === 'up' ? 'run "warmpath serve" beside your gateway instead' : 'leave it out for this Envoy';
  if (profile !== 'own')
    fail('profile', `${profile} is for other gateways, "${command}" is for Warmpath's own Envoy; ${remedy}`);
  if (tls !== 'off')
    fail('tls', `Warmpath's own Envoy asks the control plane without TLS, so "${command}" needs off`);
  if (lines.length > 0) throw new ConfigError('the configuration', lines);
}

import type { LoadOptions } from '../config/load.ts';
import type { RunFlags } from './options.ts';

export type ConfigSource = Pick<LoadOptions, 'file' | 'env' | 'flags'>;

/** Where a command's configuration comes from: its flags, the environment, a file. */
export function configSource(flags: RunFlags, env: LoadOptions['env']): ConfigSource {
  return {
    file: flags.config,
    env,
    flags: {
      node: flags.node.length > 0 ? flags.node : undefined,
      listen: flags.listen,
      admin: flags.admin,
      grpc: flags.grpc,
      stateDir: flags.stateDir,
      logLevel: flags.logLevel,
      envoyPath: flags.envoy,
      redis: flags.redis,
      agents: flags.agents,
      discover: flags.discover,
      profile: flags.profile,
      grpcTls: flags.grpcTls,
      health: flags.health,
    },
  };
}

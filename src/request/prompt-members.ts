import type { InferenceEndpoint } from './types.ts';

/** Members at the top of a request that tell what the model reads, or are hints. Never refused. */
export const MEMBER_NAMES = [
  'prompt',
  'suffix',
  'system',
  'instructions',
  'messages',
  'input',
  'tools',
  'images',
  'context',
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'fallback_models',
] as const;

/** What a member means for the endpoint at hand. */
export type MemberRole =
  | 'prompt' // text
  | 'text' // more text
  | 'system' // text that stands before all else
  | 'turns' // an array of messages
  | 'tools'
  | 'images'
  | 'context' // an earlier conversation, as tokens
  | 'max_tokens'
  | 'fallback_models';

type Roles = readonly (MemberRole | undefined)[];

/** Of each endpoint's path: the role of each of MEMBER_NAMES, undefined where it means nothing there. */
const rolesByPath = new Map<string, Roles>();

export function memberRoles(endpoint: InferenceEndpoint): Roles {
  const known = rolesByPath.get(endpoint.path);
  if (known !== undefined) return known;
  const roles = MEMBER_NAMES.map((name) => roleOf(name, endpoint));
  rolesByPath.set(endpoint.path, roles); // as many as the table of endpoints has
  return roles;
}

function roleOf(name: (typeof MEMBER_NAMES)[number], { family, operation, path }: InferenceEndpoint) {
  const isResponses = path === '/v1/responses';
  switch (name) {
    case 'fallback_models':
      return name;
    case 'max_tokens':
    case 'max_completion_tokens':
    case 'max_output_tokens':
      return family === 'ollama' ? undefined : 'max_tokens';
    case 'prompt':
      if (operation === 'generate') return 'prompt';
      return operation === 'embed' ? 'text' : undefined;
    case 'suffix':
      return operation === 'generate' ? 'text' : undefined;
    case 'images':
    case 'context':
      return operation === 'generate' && family === 'ollama' ? name : undefined;
    case 'system':
      return (operation === 'generate' && family === 'ollama') || family === 'anthropic' ? name : undefined;
    case 'instructions':
      return isResponses ? 'system' : undefined;
    case 'messages':
      return operation === 'chat' && !isResponses ? 'turns' : undefined;
    case 'input':
      if (operation === 'embed') return 'text';
      return isResponses ? 'turns' : undefined;
    case 'tools':
      return operation === 'chat' ? name : undefined;
  }
}

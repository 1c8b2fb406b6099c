/** The `type` of an error object on /v1, by HTTP status: Ollama's own mapping, so that clients' typed errors stay what they were. */
export function openAiErrorType(status: number): string {
  if (status === 400) return 'invalid_request_error';
  // Ollama never says it there: OpenAI's own word, which clients wait and try again for.
  if (status === 429) return 'rate_limit_error';
  return status === 404 ? 'not_found_error' : 'api_error';
}

/** The same on /v1/messages, with Anthropic's words. */
export function anthropicErrorType(status: number): string {
  switch (status) {
    case 400:
      return 'invalid_request_error';
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 413:
      return 'request_too_large';
    case 429:
      return 'rate_limit_error';
    case 503:
    case 529:
      return 'overloaded_error';
    default:
      return 'api_error';
  }
}

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post, send } from '../../support/http-client.ts';
import { type RealOllama, realOllama, startRealOllama } from '../../support/ollama.ts';
import { describeReal } from '../../support/require-real.ts';
import { tinyModel } from '../../support/tiny-model.ts';

describe('a tiny model', () => {
  it('is the same for the same seed and another for another', () => {
    expect(tinyModel(1).equals(tinyModel(1))).toBe(true);
    expect(tinyModel(1).equals(tinyModel(2))).toBe(false);
    expect(tinyModel(1).subarray(0, 4).toString()).toBe('GGUF');
    expect(tinyModel(1).length).toBeLessThan(400_000);
  });
});

describeReal(realOllama(), 'a real Ollama with tiny models', (path) => {
  let ollama: RealOllama;
  beforeAll(async () => {
    ollama = await startRealOllama({ path, models: ['alpha', 'beta'] });
  });
  afterAll(async () => {
    await ollama?.stop();
  });

  it('generates, chats and embeds', async () => {
    const generated = await post(`${ollama.url}/api/generate`, {
      model: 'alpha',
      prompt: 'hello',
      options: { num_predict: 8 },
    });
    expect(generated.lines().at(-1)).toMatchObject({ done: true, done_reason: 'length', eval_count: 8 });
    const messages = [{ role: 'user', content: 'hello' }];
    const chat = await post(`${ollama.url}/api/chat`, { model: 'beta', messages, stream: false });
    const { message } = chat.json() as { message: { content: string } };
    expect(message.content).toMatch(/^( [a-z]+){32}$/);
    const embed = await post(`${ollama.url}/api/embed`, { model: 'alpha', input: 'hello' });
    const { embeddings } = embed.json() as { embeddings: number[][] };
    expect(embeddings[0]).toHaveLength(64);
  });

  it('has models of equal digests on another server, and dies at once', async () => {
    const other = await startRealOllama({ path, models: ['beta', 'alpha'] });
    try {
      const digests = async (url: string): Promise<unknown> => {
        const { models } = (await send(`${url}/api/tags`)).json() as {
          models: { name: string; digest: string }[];
        };
        return Object.fromEntries(models.map(({ name, digest }) => [name, digest]));
      };
      expect(await digests(other.url)).toEqual(await digests(ollama.url));
      await post(`${other.url}/api/generate`, { model: 'alpha' });
    } finally {
      await other.kill();
    }
    await expect(send(`${other.url}/api/version`)).rejects.toThrow();
  });
});

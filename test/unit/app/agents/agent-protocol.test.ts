import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  agentKeyPem,
  generateAgentKey,
  isAgentPublicKey,
  isJoinSignature,
  isReportSignature,
  joinSignature,
  parseAgentKey,
  type SignedParts,
  signReport,
} from '../../../../src/app/agents/agent-protocol.ts';

const PARTS: SignedParts = {
  method: 'POST',
  path: '/agent/v1/report',
  node: 'gpu1',
  time: '1767225600000',
  nonce: '00112233445566778899aabbccddeeff',
  body: Buffer.from('{"gpus":[]}'),
};
/** Each part changed, one at a time. */
const CHANGED: ReadonlyArray<[string, SignedParts]> = [
  ['method', { ...PARTS, method: 'PUT' }],
  ['path', { ...PARTS, path: '/agent/v1/join' }],
  ['node', { ...PARTS, node: 'gpu2' }],
  ['time', { ...PARTS, time: '1767225600001' }],
  ['nonce', { ...PARTS, nonce: '00112233445566778899aabbccddeef0' }],
  ['body', { ...PARTS, body: Buffer.from('{"gpus":[] }') }],
];
const TOKEN = 'a-join-token-of-some-length';

describe('what an agent signs (S19)', () => {
  it('is accepted with the key it was signed with, and with no other', () => {
    const key = generateAgentKey();
    const signature = signReport(key, PARTS);
    expect(isReportSignature(key.publicKey, PARTS, signature)).toBe(true);
    expect(isReportSignature(generateAgentKey().publicKey, PARTS, signature)).toBe(false);
  });

  it.each(CHANGED)('is refused when the %s is another', (_part, parts) => {
    const key = generateAgentKey();
    expect(isReportSignature(key.publicKey, parts, signReport(key, PARTS))).toBe(false);
    expect(isJoinSignature(TOKEN, parts, joinSignature(TOKEN, PARTS))).toBe(false);
  });

  it('has one spelling only', () => {
    const key = generateAgentKey();
    const signature = signReport(key, PARTS);
    for (const other of [
      `${signature}=`,
      `${signature}==`,
      ` ${signature}`,
      `${signature}\n`,
      signature.slice(1),
      '',
    ]) {
      expect(isReportSignature(key.publicKey, PARTS, other)).toBe(false);
    }
  });

  it('is refused, never an exception, when key or signature are nonsense', () => {
    for (const junk of ['', 'x', '💥', randomBytes(44).toString('base64url'), 'A'.repeat(100_000)]) {
      expect(isReportSignature(junk, PARTS, junk)).toBe(false);
      expect(isJoinSignature(TOKEN, PARTS, junk)).toBe(false);
    }
  });
});

describe('the join token', () => {
  it('is proven by its HMAC and does not travel', () => {
    const signature = joinSignature(TOKEN, PARTS);
    expect(signature).not.toContain(TOKEN);
    expect(isJoinSignature(TOKEN, PARTS, signature)).toBe(true);
    expect(isJoinSignature('another-token-of-length', PARTS, signature)).toBe(false);
  });
});

describe('an agent key', () => {
  it('survives its PEM text', () => {
    const key = generateAgentKey();
    expect(parseAgentKey(agentKeyPem(key))?.publicKey).toBe(key.publicKey);
  });

  it('is Ed25519 or nothing', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(parseAgentKey(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())).toBeUndefined();
    expect(parseAgentKey('no key')).toBeUndefined();
    expect(isAgentPublicKey(publicKey.export({ type: 'spki', format: 'der' }).toString('base64url'))).toBe(
      false,
    );
    const other = generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' });
    expect(isAgentPublicKey(other.toString('base64url'))).toBe(false);
    expect(isAgentPublicKey(generateAgentKey().publicKey)).toBe(true);
  });
});

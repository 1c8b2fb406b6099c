/**
 * C0 and C1 controls, DEL, line separators and the marks that turn the direction of text: what a hostile name could use
 * to forge log lines or to repaint a terminal.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Control characters as visible escapes (`\u001b`); other text is returned as it is. */
export function escapeControl(text: string): string {
  return text.replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** As `escapeControl`, but line ends stay: for stack traces. */
export function escapeControlInLines(text: string): string {
  return text.split('\n').map(escapeControl).join('\n');
}

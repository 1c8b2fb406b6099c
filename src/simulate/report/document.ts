/** Between these lines a document holds what is generated; all else is written by people. */
const BEGIN = '<!-- generated: begin -->';
const END = '<!-- generated: end -->';

/** The document with a new generated part; undefined: it has no place for one. */
export function withGenerated(document: string, generated: string): string | undefined {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin === -1 || end < begin) return undefined;
  return `${document.slice(0, begin + BEGIN.length)}\n\n${generated}\n\n${document.slice(end)}`;
}

/** A document with nothing but the generated part. */
export function newDocument(generated: string): string {
  return `# Decisions compared\n\n${BEGIN}\n\n${generated}\n\n${END}\n`;
}

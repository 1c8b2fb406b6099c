import type { Comparison } from './comparison.ts';
import { newDocument, withGenerated } from './document.ts';
import { reportTables } from './markdown.ts';
import { reportPlots } from './plots.ts';

/** A report as files: the document, and the plots that it shows, by path relative to the document. */
export interface RenderedReport {
  readonly document: string;
  readonly plots: ReadonlyMap<string, string>;
}

/**
 * `before`: the document as it is, whose generated part is replaced; undefined: there is none yet. `plotFolder`: where the plots lie,
 * as seen from the document. `command`: what a reader runs to get the same.
 */
export function renderReport(
  comparison: Comparison,
  before: string | undefined,
  { plotFolder, command }: { readonly plotFolder: string; readonly command: string },
): RenderedReport {
  const plots = new Map(
    [...reportPlots(comparison)].map(([name, svg]) => [`${plotFolder}/${name}`, svg] as const),
  );
  const images = [...plots.keys()].map((path) => `![${altText(path)}](${path})`);
  const intro = `Written by \`${command}\`: the mean over seeds ${comparison.seeds.join(', ')}.`;
  const generated = [intro, ...images, reportTables(comparison)].join('\n\n');
  const document = before === undefined ? newDocument(generated) : withGenerated(before, generated);
  if (document === undefined) {
    throw new RangeError(
      'the document has no lines "<!-- generated: begin -->" and "<!-- generated: end -->"',
    );
  }
  return { document, plots };
}

function altText(path: string): string {
  return (path.split('/').at(-1) ?? path).replace('.svg', '').replaceAll('-', ' ');
}

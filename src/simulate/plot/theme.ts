/** Colours that colour-blind people tell apart (Okabe and Ito), on white and on black. */
export const SERIES_COLOURS: Readonly<Record<string, string>> = {
  warmpath: '#d55e00',
  clairvoyant: 'var(--ink)',
  random: '#999999',
  'round-robin': '#56b4e9',
  'least-in-flight': '#0072b2',
  'fastest-response': '#cc79a7',
  'herd-score': '#009e73',
  'tier-score': '#b8860b',
  'prefix-hash': '#8b5cf6',
};
export const OTHER_COLOUR = '#999999';

/** Light by default, dark where the reader's system is. */
export const STYLE = `<style>
svg{--ink:#1f2328;--soft:#59636e;--grid:#d1d9e0;--paper:#ffffff;font:13px system-ui,sans-serif}
@media(prefers-color-scheme:dark){svg{--ink:#f0f6fc;--soft:#9198a1;--grid:#3d444d;--paper:#0d1117}}
.paper{fill:var(--paper)}text{fill:var(--ink)}.soft{fill:var(--soft);font-size:12px}.title{font-size:15px;font-weight:600}
.grid{stroke:var(--grid);stroke-width:1}
</style>`;

export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** Enough digits to tell pixels apart. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** GFX versions of AMD's processors with graphics inside (APUs). */
const APU_GFX = /^gfx(?:902|909|90c|940|1013|1033|1035|1036|1037|1038|1039|1040|1103|1150|1151|1152|1153)$/i;
/** Names of the same, for tools that tell no GFX version. */
const APU_NAME =
  /\b(?:Radeon(?:\(TM\))? (?:Graphics|\d{3}M|80[4-6]0S|Vega \d+ Graphics)|Raven|Picasso|Renoir|Lucienne|Cezanne|Barcelo|Rembrandt|Raphael|Mendocino|Phoenix\d?|Hawk ?Point|Strix|Krackan|Granite Ridge)\b/i;

/** Whether a GPU of AMD sits in the processor and takes the host's memory beside the part reserved for it. */
export function isApu(gfx: unknown, names: readonly unknown[]): boolean {
  if (typeof gfx === 'string' && /^gfx\d/i.test(gfx)) return APU_GFX.test(gfx);
  return names.some((name) => typeof name === 'string' && APU_NAME.test(name));
}

/** What an APU may take: its reserved part, and what the driver borrows of the host's memory (GTT). */
export function apuMemory(
  vram: number | undefined,
  gtt: number | undefined,
  apu: boolean,
): number | undefined {
  if (!apu || gtt === undefined) return vram;
  return (vram ?? 0) + gtt;
}

import type { Flag } from './flags.ts';

/** Envoy's response flags in the order of their bits, as the attribute `response.flags` has them. */
const BY_BIT: readonly (Flag | undefined)[] = [
  'LH',
  'UH',
  'UT',
  'LR',
  'UR',
  'UF',
  'UC',
  'UO',
  'NR',
  'DI',
  'FI',
  'RL',
  'UAEX',
  'RLSE',
  'DC',
  'URX',
  'SI',
  'IH',
  'DPE',
  'UMSDR',
  'RFCF',
  'NFCF',
  'DT',
  'UPE',
  'NC',
  'OM',
  'DF',
  undefined,
  'DR',
];

/** The flags whose bits are set; those that are newer than this list are left out. */
export function flagsOfBits(bits: number): ReadonlySet<Flag> {
  const out = new Set<Flag>();
  if (!Number.isSafeInteger(bits) || bits <= 0) return out;
  for (const [bit, flag] of BY_BIT.entries())
    if (flag !== undefined && Math.floor(bits / 2 ** bit) % 2 === 1) out.add(flag);
  return out;
}

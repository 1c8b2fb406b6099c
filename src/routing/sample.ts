/** Places a golden section apart spread evenly, however many of them are taken. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Items that are out of the question may take so many times the places of a sample before it ends. */
const VISITS_PER_PLACE = 4;

/**
 * Visits `items`: all in their order where there are no more than `most`; else from a random start in an even spread,
 * until `enough` visits counted, but no more than four times as many. A visit that answers false does not count.
 */
export function visitSome(
  items: Uint32Array,
  most: number,
  enough: number,
  random: () => number,
  visit: (item: number) => boolean,
): void {
  const { length } = items;
  const isAll = length <= most;
  const visits = isAll ? length : Math.min(length, enough * VISITS_PER_PLACE);
  let at = isAll ? 0 : Math.floor(random() * length);
  const step = isAll ? 1 : coprimeStep(length);
  let left = isAll ? length : enough;
  for (let visited = 0; visited < visits && left > 0; visited += 1) {
    const item = items[at];
    if (item !== undefined && visit(item)) left -= 1;
    at += step;
    if (at >= length) at -= length;
  }
}

/** Without a common divisor the walk comes by every place before it comes by one again. */
function coprimeStep(length: number): number {
  let step = Math.max(1, Math.floor(length * GOLDEN));
  while (greatestCommonDivisor(step, length) !== 1) step += 1;
  return step;
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

const PATTERN =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))?$/;

/**
 * Seconds since 1970 of an ISO 8601 time as Ollama writes it, with or without offset; 0 where it is none. Dates far
 * outside any calendar come from nodes too (year 1, year 2319) and keep their order.
 */
export function isoSeconds(text: string): number {
  const match = PATTERN.exec(text);
  if (match === null) return 0;
  const [, year, month, day, hour, minute, second, fraction = '', sign, offsetHours, offsetMinutes] = match;
  const days = daysSinceEpoch(Number(year), Number(month), Number(day));
  const offset =
    (sign === '-' ? -1 : 1) * (Number(offsetHours ?? 0) * 3600 + Number(offsetMinutes ?? 0) * 60);
  return (
    days * 86_400 +
    Number(hour) * 3600 +
    Number(minute) * 60 +
    Number(second) +
    Number(`0.${fraction}0`) -
    offset
  );
}

/** Days from 1970-01-01 in the proleptic Gregorian calendar; years begin in March, so that leap days come last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** Minutes of the week, Monday 00:00 is 0: [from, to); `to` below `from` goes over Sunday's end. */
export interface WeekSpan {
  readonly from: number;
  readonly to: number;
}

/** The text is no list of hours; the message says what one looks like. */
export class OwnerHoursError extends Error {
  constructor(part: string, why: string) {
    super(`owner hours "${part.slice(0, 60)}" ${why}, e.g. "Mon-Fri 18:00-23:00, Sat 10:00-24:00"`);
    this.name = 'OwnerHoursError';
  }
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const DAY_MINUTES = 1_440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
const MAX_SPANS = 64;

/**
 * Reads `Mon-Fri 18:00-23:00, Sat 10:00-24:00`; without days a part holds every day. Hours whose end lies before
 * their begin go over midnight.
 */
export function parseOwnerHours(text: string): WeekSpan[] {
  const spans = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .flatMap(parsePart);
  if (spans.length > MAX_SPANS) {
    throw new OwnerHoursError(
      text,
      `make ${spans.length} spans in a week, of which ${MAX_SPANS} are allowed; write fewer`,
    );
  }
  return spans;
}

function parsePart(part: string): WeekSpan[] {
  const match = /^(?:([a-z]+)(?:\s*-\s*([a-z]+))?\s+)?(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})$/i.exec(part);
  if (match === null) throw new OwnerHoursError(part, 'are not days and hours');
  const first = match[1] === undefined ? 0 : dayOf(match[1], part);
  const last = match[2] !== undefined ? dayOf(match[2], part) : match[1] === undefined ? 6 : first;
  const from = minuteOf(match[3] ?? '', part);
  const to = minuteOf(match[4] ?? '', part);
  if (from === DAY_MINUTES) throw new OwnerHoursError(part, 'begin at 24:00: write 00:00 of the next day');
  if (from === to) throw new OwnerHoursError(part, 'end when they begin: write 00:00-24:00 for a whole day');
  const length = to > from ? to - from : to + DAY_MINUTES - from;
  const days = ((last - first + 7) % 7) + 1;
  return Array.from({ length: days }, (_, i) => {
    const start = ((first + i) % 7) * DAY_MINUTES + from;
    return { from: start, to: (start + length) % WEEK_MINUTES };
  });
}

function dayOf(text: string, part: string): number {
  const name = text.toLowerCase();
  const day = DAYS.findIndex((short) => name === short || name === LONG_DAYS[short]);
  if (day === -1)
    throw new OwnerHoursError(part, `name no day by "${text}" (Mon, Tue, Wed, Thu, Fri, Sat, Sun)`);
  return day;
}

const LONG_DAYS: Readonly<Record<string, string>> = {
  mon: 'monday',
  tue: 'tuesday',
  wed: 'wednesday',
  thu: 'thursday',
  fri: 'friday',
  sat: 'saturday',
  sun: 'sunday',
};

function minuteOf(text: string, part: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number);
  const minute = hours * 60 + minutes;
  if (minutes > 59 || minute > DAY_MINUTES) throw new OwnerHoursError(part, `have no time ${text}`);
  return minute;
}

/** Whether the owner uses the machine at this minute of the week. */
export function isOwnerHour(spans: readonly WeekSpan[], minute: number): boolean {
  return spans.some(({ from, to }) =>
    from < to ? minute >= from && minute < to : minute >= from || minute < to,
  );
}

/** The minute of the week that a clock on the wall shows; undefined zone: the machine's own. */
export function minuteOfWeek(date: Date, timeZone?: string): number {
  const parts = formatOf(timeZone).formatToParts(date);
  const read = (type: string): string => parts.find((part) => part.type === type)?.value ?? '';
  const day = DAYS.indexOf(read('weekday').toLowerCase());
  return day * DAY_MINUTES + Number(read('hour')) * 60 + Number(read('minute'));
}

const formats = new Map<string | undefined, Intl.DateTimeFormat>();

function formatOf(timeZone: string | undefined): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    ...(timeZone === undefined ? {} : { timeZone }),
  });
  formats.set(timeZone, format);
  return format;
}

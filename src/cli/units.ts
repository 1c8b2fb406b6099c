const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `5.2 GiB`: three digits at most. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `840 ms`, `12 s`, `3 min`, `2 h 05 min`, `4 d 3 h`: as exact as people read. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Seconds with as many decimals as matter: `0.0004`, `0.120`, `3.20`, `148`. */
export function formatSeconds(seconds: number): string {
  if (seconds === 0) return '0';
  if (seconds < 0.01) return seconds.toFixed(4);
  if (seconds < 1) return seconds.toFixed(3);
  return seconds < 100 ? seconds.toFixed(2) : String(Math.round(seconds));
}

/** Numbers and times as people read them. Sizes are IEC, times come with their zone. */
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
export const NONE = '–';
export const MIB = 1024 * 1024;

export function bytes(count: number): string {
  const power = count < 1024 ? 0 : Math.min(Math.floor(Math.log2(count) / 10), UNITS.length - 1);
  const value = count / 1024 ** power;
  // Rounded down: what is not there yet is never shown.
  const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const shown = Math.floor(value * 10 ** digits) / 10 ** digits;
  return `${shown.toFixed(digits)} ${UNITS[power] ?? ''}`;
}

export function rate(perSecond: number | undefined): string {
  return perSecond === undefined ? NONE : `${bytes(Math.max(0, perSecond))}/s`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return NONE;
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

export function ago(seconds: number, now: string): string {
  if (seconds < -5) return `in ${span(-seconds)}`;
  if (seconds < 5) return now;
  return `${span(seconds)} ago`;
}

function span(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function absolute(time: string): string {
  return new Date(time).toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short',
  });
}

/** Like `absolute`, without the year: for what is recent, where room is scarce. */
export function moment(time: string): string {
  return new Date(time).toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short',
  });
}

export function percent(value: number): string {
  // One digit, rounded down as the API does: 100 is shown only for everything.
  return `${(Math.floor(value * 10) / 10).toFixed(value >= 100 ? 0 : 1)} %`;
}

export function seconds(from: string | null, to: string | null): number {
  if (from === null) return NaN;
  return ((to === null ? Date.now() : Date.parse(to)) - Date.parse(from)) / 1000;
}

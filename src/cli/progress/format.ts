/** Formats numbers for people. */
export { formatBytes } from '../../text.ts';

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `3 d`, `5 h`, `12 min`; the largest unit only. */
export function formatAge(ms: number): string {
  if (Number.isNaN(ms)) return 'unknown';
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

/** `1 retry`, `2 retries`. */
export function formatCount(count: number, one: string, many: string): string {
  // Not toLocaleString, which takes milliseconds to load its locale data.
  const digits = String(count).replace(/\B(?=(\d{3})+$)/g, ',');
  return `${digits} ${count === 1 ? one : many}`;
}

export function formatRate(bytesPerSecond: number): string {
  return bytesPerSecond <= 0 ? '0 B/s' : `${(bytesPerSecond / 2 ** 20).toFixed(1)} MiB/s`;
}

/** `$6.29`, or `$0.0074` below a dollar. */
export function formatDollars(dollars: number): string {
  if (dollars >= 1) return `$${dollars.toFixed(2)}`;
  return dollars > 0 && dollars < 0.0001 ? 'less than $0.0001' : `$${dollars.toFixed(4)}`;
}

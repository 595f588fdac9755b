/** Formats values and foreign text for messages. */

/** Text from outside the program, safe for a terminal: control characters become `?`, and it is cut at `length` characters. */
export function sanitize(text: string, length = 300): string {
  const plain = text.slice(0, length + 1).replace(/\p{Cc}/gu, '?');
  return plain.length > length ? `${plain.slice(0, length)}…` : plain;
}

const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Names of the user's, safe for a terminal: control characters as in a string of JavaScript, `\n` or `\x1b`. */
export function escapeControls(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (control) => escapes[control] ?? `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** A value that should be a URL, without what may be a user and a password in it. */
export function withoutUser(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1[redacted]@');
}

/** A time for messages, for example `250 ms`, `5.2 s` or `10 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 90_000) return `${Math.round(ms / 100) / 10} s`;
  return `${Math.round(ms / 6_000) / 10} min`;
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `512 B`, `1.5 MiB`, `64.0 TiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/**
 * Sizes and times with units. The published parsers skip what they do not understand (`10x5m`, `40MiB` as 40), which must
 * be an error here.
 */

const sizePattern = /^(\d+(?:\.\d+)?) ?(?:([kmgt])(i?b)?|b)?$/i;

/** `512K`, `40M`, `40MiB`, `8G`: powers of 1,024; `40MB`: of 1,000, as in GNU tools. Undefined for anything else. */
export function parseSize(text: string, bareUnit: number): number | undefined {
  const match = sizePattern.exec(text);
  if (match === null) return undefined;
  const [whole, number, prefix, suffix] = match;
  if (whole === number) return Number(number) * bareUnit;
  const power = prefix === undefined ? 0 : 'kmgt'.indexOf(prefix.toLowerCase()) + 1;
  return Number(number) * (suffix?.toLowerCase() === 'b' ? 1000 : 1024) ** power;
}

const unitMs = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const durationPattern =
  /^(?=\d)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$/;

/** `90`, `90s`, `10m`, `1.5h`, `1h30m` or `500ms`, in milliseconds; a bare number is seconds. Undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * unitMs.s;
  const match = durationPattern.exec(text);
  if (match === null) return undefined;
  return Object.values(unitMs).reduce((sum, ms, index) => sum + Number(match[index + 1] ?? 0) * ms, 0);
}

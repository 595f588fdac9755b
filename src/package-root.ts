/** Where this package lies, wherever its code was compiled or bundled to. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The nearest folder upwards whose package.json is coldsnap's: the same from src/native, dist/native and a bundle in dist. */
export function packageRoot(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    if (isColdsnap(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

function isColdsnap(path: string): boolean {
  try {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof json === 'object' && json !== null && 'name' in json && json.name === 'coldsnap';
  } catch {
    return false;
  }
}

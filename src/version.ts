import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from './package-root.ts';

/** The version in package.json, which is above this file wherever that was compiled or bundled to. */
export const version: string = (() => {
  const here = dirname(fileURLToPath(import.meta.url));
  const file = join(packageRoot(here) ?? here, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
})();

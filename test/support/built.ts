/** Tests of the installed command line need the program compiled from the current sources. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const project = fileURLToPath(new URL('../..', import.meta.url));

/** The command line as installed. */
export const bin = join(project, 'bin/coldsnap.js');

function whyNot(): string | undefined {
  const modified = (path: string) => statSync(join(project, path), { throwIfNoEntry: false })?.mtimeMs;
  const products = ['dist/index.js', 'dist/cli/main.js', 'build/Release/coldsnap.node'];
  const missing = products.find((path) => modified(path) === undefined);
  if (missing !== undefined) return `${missing} is not built: npm run build`;
  const sources = readdirSync(join(project, 'src'), { recursive: true, encoding: 'utf8' });
  const newest = Math.max(
    ...sources.filter((name) => name.endsWith('.ts')).map((name) => modified(`src/${name}`)!),
  );
  const stale = products.slice(0, 2).some((path) => modified(path)! < newest);
  return stale ? 'dist/ is older than src/: npm run build' : undefined;
}

const reason = whyNot();

/** Options of a test that needs the compiled program: it is skipped, with the reason, where there is none. */
export const needsBuild: { skip?: string } = reason === undefined ? {} : { skip: reason };

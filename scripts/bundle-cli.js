/**
 * Puts the compiled command line, with all that it uses, into a few files: loading many small modules is most of what a
 * short command takes (0.2 s of processor time for the AWS SDK alone). Rarely used modules are in separate files,
 * loaded on demand. The library beside it stays as it is, for those who import it, unless --library is given. Without this step
 * everything works, only more slowly.
 *
 *   node scripts/bundle-cli.js [DIST [--library]]
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { lightBuiltins } from './light-builtins.js';
import { unusedModules } from './unused-modules.js';
import { unusedSchemas } from './unused-schemas.js';

const mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`;

const project = fileURLToPath(new URL('..', import.meta.url));
/** Another directory than dist/, for a package and for tests. */
const dist = resolve(process.argv[2] ?? join(project, 'dist'));
const cli = join(dist, 'cli');
/** With --library the library's modules go into the same files: a package without dependencies. */
const library = process.argv[3] === '--library';
/** The directory whose modules are replaced by the bundle. */
const own = library ? dist : cli;

const { metafile } = await build({
  absWorkingDir: own,
  entryPoints: library ? ['cli/main.js', 'index.js', 'emulator/index.js'] : ['main.js'],
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  // Prefers the ES modules of packages that have both, whose unused parts are omitted.
  mainFields: ['module', 'main'],
  conditions: ['module'],
  target: 'node20',
  outdir: own,
  // Not by their modules' names: the library's would be a hidden file.
  chunkNames: 'chunk-[hash]',
  allowOverwrite: true,
  // Readable names in stack traces are worth more than the last few kilobytes.
  minifyWhitespace: true,
  minifySyntax: true,
  plugins: [lightBuiltins, unusedModules, unusedSchemas],
  metafile: true,
  logLevel: 'warning',
  nodePaths: [join(project, 'node_modules')],
  // CommonJS modules among them ask for Node's own modules by require.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
});

// Modules whose code is in the bundle now, those of types alone, and the bundle before.
const written = new Set(Object.keys(metafile.outputs));
for (const name of readdirSync(own, { recursive: true })) {
  if (name.endsWith('.js') && !written.has(name)) rmSync(join(own, name));
}
const packages = bundledPackages(metafile);
writeFileSync(join(cli, 'THIRD-PARTY-LICENSES'), packages.map(licenseOf).join('\n'));
const listed = packages.map(({ text, ...others }) => others);
writeFileSync(join(cli, 'bundled.json'), `${JSON.stringify(listed, null, 1)}\n`);

/** The packages with code in the bundle, sorted. */
function bundledPackages({ outputs }) {
  const folders = new Set();
  for (const { inputs } of Object.values(outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
      const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(resolve(own, file));
      if (match && bytesInOutput > 0) folders.add(match[1]);
    }
  }
  return [...folders].sort().map((folder) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? undefined : readFileSync(join(folder, file), 'utf8');
    const lines = text?.match(/^\s*copyright (?!notice|holder|owner|license)[^[{\n]+$/gim) ?? [];
    const holders = lines.map((line) => line.trim().replace(/^copyright\s*(\(c\)|©)?\s*/i, ''));
    const copyright = holders.length > 0 ? holders : [author?.name ?? author ?? `the authors of ${name}`];
    return { name, version, license, copyright, text };
  });
}

/** The licence text of a package; of some it is known only by name. */
function licenseOf({ name, version, license, copyright, text }) {
  const standard = new Map([
    ['Apache-2.0', () => readFileSync(join(project, 'LICENSE'), 'utf8')],
    ['MIT', () => `Copyright (c) ${copyright.join(', ')}\n\n${mit}`],
  ]);
  const terms = text ?? standard.get(license)?.();
  if (terms === undefined)
    throw new Error(`${name} has no licence file, and the text of ${license} is not known`);
  return `${'='.repeat(80)}\n${name} ${version}\nLicence: ${license}\n\n${terms}`;
}

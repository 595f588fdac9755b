/**
 * Puts the compiled command line, with all that it uses, into a few files: loading many small modules is most of what a
 * short command takes (0.2 s of processor time for the AWS SDK alone). What is used now and then is in files of its own,
 * loaded then. The library beside it stays as it is, for those who import it. Without this step everything works, only
 * more slowly.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const project = fileURLToPath(new URL('..', import.meta.url));
/** Another directory than dist/ for tests. */
const cli = resolve(process.argv[2] ?? join(project, 'dist'), 'cli');

for (const name of readdirSync(cli)) {
  if (/-[0-9A-Z]{8}\.js$/.test(name)) rmSync(join(cli, name));
}
const { metafile } = await build({
  absWorkingDir: cli,
  entryPoints: ['main.js'],
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  // The ES modules of packages that have both: what is not used is left out.
  mainFields: ['module', 'main'],
  conditions: ['module'],
  target: 'node20',
  outdir: cli,
  // Not by their modules' names: the library's would be a hidden file.
  chunkNames: 'chunk-[hash]',
  allowOverwrite: true,
  // Readable names in stack traces are worth more than the last few kilobytes.
  minifyWhitespace: true,
  minifySyntax: true,
  metafile: true,
  logLevel: 'warning',
  nodePaths: [join(project, 'node_modules')],
  // CommonJS modules among them ask for Node's own modules by require.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
});

// What is in the bundle now need not lie beside it.
const written = new Set(Object.keys(metafile.outputs));
const inputs = Object.keys(metafile.inputs);
for (const input of inputs) {
  if (!input.startsWith('../') && !written.has(input)) rmSync(join(cli, input));
}
writeFileSync(join(cli, 'THIRD-PARTY-LICENSES'), licensesOf(inputs));

/** The licences of the packages that went into the bundle, as they ask. */
function licensesOf(files) {
  const packages = new Set();
  for (const file of files) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(resolve(cli, file));
    if (match) packages.add(match[1]);
  }
  return [...packages].sort().map(licenseOf).join('\n');
}

function licenseOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file === undefined ? `Licence: ${license}\n` : readFileSync(join(folder, file), 'utf8');
  return `${'='.repeat(80)}\n${name} ${version}\n\n${text}`;
}

/**
 * Bundles the compiled command line and its dependencies into a few files, because loading many small modules dominates
 * the run time of short commands (0.2 s of CPU time for the AWS SDK alone). Rarely used modules are in separate files,
 * loaded on demand. The library is not changed. The step is optional: everything works without it, but starts more slowly.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const project = fileURLToPath(new URL('..', import.meta.url));
/** Tests use another directory than dist/. */
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
  // Prefer ES modules, from which unused code can be removed.
  mainFields: ['module', 'main'],
  conditions: ['module'],
  target: 'node20',
  outdir: cli,
  // Not named after their modules: the library's would be a hidden file.
  chunkNames: 'chunk-[hash]',
  allowOverwrite: true,
  // Names are kept for readable stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  metafile: true,
  logLevel: 'warning',
  nodePaths: [join(project, 'node_modules')],
  // Bundled CommonJS modules load Node's modules with require.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
});

// Remove the modules that are now in the bundle.
const written = new Set(Object.keys(metafile.outputs));
const inputs = Object.keys(metafile.inputs);
for (const input of inputs) {
  if (!input.startsWith('../') && !written.has(input)) rmSync(join(cli, input));
}
writeFileSync(join(cli, 'THIRD-PARTY-LICENSES'), licensesOf(inputs));

/** The licences of the bundled packages, which require their inclusion. */
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

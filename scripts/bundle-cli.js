/**
 * Puts the compiled command line and commander into one file (and a few that are loaded later), because loading many
 * small modules is most of what `coldsnap --help` takes. The library stays as it is, beside it: there is one
 * ColdsnapError for both. Without this step everything works, only more slowly.
 */
import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const project = fileURLToPath(new URL('..', import.meta.url));
/** Another directory than dist/ for tests. */
const cli = resolve(process.argv[2] ?? join(project, 'dist'), 'cli');

for (const name of readdirSync(cli)) {
  if (/^chunk-.*\.js$/.test(name)) rmSync(join(cli, name));
}
const { metafile } = await build({
  absWorkingDir: cli,
  entryPoints: ['main.js'],
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outdir: cli,
  // Without directories in it: the chunks find the library by the same relative paths as main.js does.
  chunkNames: 'chunk-[hash]',
  allowOverwrite: true,
  metafile: true,
  logLevel: 'warning',
  external: ['listr2'],
  nodePaths: [join(project, 'node_modules')],
  // commander is CommonJS, and asks for Node's own modules by require.
  banner: {
    js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
  },
  plugins: [
    {
      name: 'the library stays outside',
      setup({ onResolve }) {
        onResolve({ filter: /^\.\.?\// }, ({ resolveDir, path }) => {
          const file = resolve(resolveDir, path);
          const outside = resolveDir.startsWith(cli) && !file.startsWith(`${cli}/`);
          return outside ? { path: relative(cli, file), external: true } : undefined;
        });
      },
    },
  ],
});

// What is in the bundle now need not lie beside it.
const written = new Set(Object.keys(metafile.outputs));
for (const input of Object.keys(metafile.inputs)) {
  if (!input.startsWith('../') && !written.has(input)) rmSync(join(cli, input));
}
copyFileSync(join(project, 'node_modules/commander/LICENSE'), join(cli, 'LICENSE.commander'));

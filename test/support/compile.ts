/** How esbuild compiles programs and tests that start often: with all their modules, so that they load in a tenth of a second. */
import type { BuildOptions } from 'esbuild';

export const compileOptions = {
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Prefers the ES modules of packages that have both, whose unused parts are omitted.
  mainFields: ['module', 'main'],
  conditions: ['module'],
  outExtension: { '.js': '.mjs' },
  logLevel: 'error',
  // CommonJS modules among them ask for Node's own modules by require.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
} satisfies BuildOptions;

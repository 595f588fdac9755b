/**
 * Lets esbuild take these modules of Node's from process.getBuiltinModule() instead. An import asks a module for all that it
 * exports, and what is hardly ever used loads a lot: WebSocket, of node:http, all of fetch (40 ms from Node 22 on), stdin of
 * node:process its stream (3 ms). esbuild reports an import of a name that is not listed here.
 */
import { join, relative } from 'node:path';

const exportsOf = {
  'node:http': 'Agent, createServer',
  'node:process': 'env, versions',
};

const project = join(import.meta.dirname, '..');
const namespace = 'light-builtin';

export const lightBuiltins = {
  name: 'light-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, importer }) => {
      if (!(path in exportsOf)) return undefined;
      // One for each importer, in the same file as that: reading another file costs as much as is saved.
      const suffix = relative(project, importer).replaceAll('/', ':');
      return { path: `${path} for ${suffix}`, namespace, pluginData: path };
    });
    onLoad({ filter: /.*/, namespace }, ({ pluginData: name }) => ({
      contents: `const builtin = process.getBuiltinModule('${name}');
export default builtin;
export const { ${exportsOf[name]} } = builtin;`,
    }));
  },
};

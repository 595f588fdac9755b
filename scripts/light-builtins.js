/**
 * Lets esbuild take these modules of Node's from process.getBuiltinModule() instead. An import asks a module for all that it
 * exports, and what is hardly ever used loads a lot: WebSocket, of node:http, all of fetch (40 ms from Node 22 on), stdin of
 * node:process its stream (3 ms). esbuild reports an import of a name that is not listed here.
 */
const exportsOf = {
  'node:http': 'Agent, createServer',
  'node:process': 'env, versions',
};

const namespace = 'light-builtin';

export const lightBuiltins = {
  name: 'light-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, importer }) => {
      if (!(path in exportsOf)) return undefined;
      // One for each importer, in the same file as that: reading another file costs as much as is saved. The name does not
      // depend on where the project is, so that two builds are equal.
      const suffix = importer.split(/[/\\]/).slice(-2).join(':');
      return { path: `${path} for ${suffix}`, namespace, pluginData: path };
    });
    onLoad({ filter: /.*/, namespace }, ({ pluginData: name }) => ({
      contents: `const builtin = process.getBuiltinModule('${name}');
export default builtin;
export const { ${exportsOf[name]} } = builtin;`,
    }));
  },
};

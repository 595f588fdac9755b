/**
 * Lets esbuild omit the schemas that are not used of the 700 operations of EC2: 0.7 MB, which takes every command that asks
 * EC2 0.15 s to load. It keeps them otherwise, because it cannot know that their computed keys have no side effects.
 */
import { readFile } from 'node:fs/promises';

export const unusedSchemas = {
  name: 'unused-schemas',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]client-ec2[/\\].*[/\\]schemas_0\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const array = /^((?:export )?var [\w$]+ = )(\[[\s\S]*?\]);$/gm;
      return { contents: text.replace(array, '$1/* @__PURE__ */ (() => $2)();') };
    });
  },
};

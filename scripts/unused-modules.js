/**
 * Lets esbuild omit modules that packages import and that never run here, a tenth of the code and eight packages: the SDK's own
 * search for credentials, which src/ebs/connect does, its event streams, and what reads the names of browsers.
 */
const namesOf = {
  '@aws-sdk/credential-provider-node': ['defaultProvider'],
  '@smithy/core/event-streams': ['EventStreamSerde', 'eventStreamSerdeProvider'],
  bowser: ['parse'],
};

const namespace = 'unused-module';

export const unusedModules = {
  name: 'unused-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[@\w]/ }, ({ path }) =>
      path in namesOf ? { path, namespace, sideEffects: false } : undefined,
    );
    onLoad({ filter: /.*/, namespace }, ({ path }) => ({
      contents: namesOf[path]
        .map(
          (name) =>
            `export function ${name}() { throw new Error('${name} of ${path} is not part of this program'); }`,
        )
        .join('\n'),
    }));
  },
};

import type { Plugin } from 'esbuild';

export const unusedSchemas: Plugin;

/** Imports follow docs/architecture.md: each layer imports only the layers below it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../src', import.meta.url));

/** Files that every layer may import. */
const common = [
  'cancel.ts',
  'clock.ts',
  'destination.ts',
  'error-codes.ts',
  'errno.ts',
  'errors.ts',
  'geometry.ts',
  'home.ts',
  'package-root.ts',
  'text.ts',
  'version.ts',
  'warning-codes.ts',
];

/** The layers that each layer may import, besides itself. */
const mayUse: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': ['error-codes.ts'],
  'error-codes.ts': ['errors.ts'],
  'warning-codes.ts': [],
  'cancel.ts': ['clock.ts', 'errors.ts'],
  'clock.ts': [],
  'destination.ts': [],
  'errno.ts': ['error-codes.ts'],
  'geometry.ts': [],
  'home.ts': [],
  'text.ts': [],
  'package-root.ts': [],
  'version.ts': ['package-root.ts'],
  native: [],
  ebs: [],
  image: ['native'],
  transfer: ['ebs', 'image', 'native'],
  emulator: ['native'],
  'index.ts': ['transfer', 'ebs', 'image', 'native'],
  cli: ['transfer', 'ebs', 'image', 'index.ts', 'emulator', 'native'],
};

/** Imports of types only: the command line calls the library and needs just the types of its options. */
const typesOnly: readonly (readonly [from: string, to: string])[] = [
  ['cli', 'transfer'],
  ['cli', 'ebs'],
  ['cli', 'image'],
];

interface Import {
  /** Relative to src/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const layer = (path: string): string => path.split('/')[0] ?? '';
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);

function importsOf(file: string): Import[] {
  const text = readFileSync(join(source, file), 'utf8');
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|^import\s+'([^']+)'/gm,
  );
  return [...statements].map(([, type, named, loaded, bare]) => {
    const specifier = named ?? loaded ?? bare ?? '';
    const inside = specifier.startsWith('.');
    const path = inside ? relative(source, join(source, dirname(file), specifier)) : specifier;
    return {
      file,
      from: layer(file),
      to: inside ? layer(path) : '',
      specifier,
      typeOnly: type !== undefined,
    };
  });
}

const imports = files.flatMap(importsOf);

test('every file belongs to a layer or may be imported by all', () => {
  assert.deepEqual(
    files.filter((file) => mayUse[layer(file)] === undefined),
    [],
  );
  assert.ok(
    imports.length > files.length,
    `only ${imports.length} imports were found in ${files.length} files`,
  );
});

for (const [name, allowed] of Object.entries(mayUse)) {
  const list = allowed.length === 0 ? 'no other layer' : `only ${allowed.join(', ')}`;
  test(`${name} imports ${list}`, () => {
    const permitted = new Set([name, '', ...(common.includes(name) ? [] : common), ...allowed]);
    const wrong = imports.filter((entry) => entry.from === name && !permitted.has(entry.to));
    assert.deepEqual(
      wrong.map(({ file, specifier }) => `${file} imports ${specifier}`),
      [],
    );
  });
}

test('the command line imports only types from the layers below the library', () => {
  const wrong = imports.filter(
    (entry) => !entry.typeOnly && typesOnly.some(([from, to]) => entry.from === from && entry.to === to),
  );
  assert.deepEqual(
    wrong.map(({ file, specifier }) => `${file} imports ${specifier}`),
    [],
  );
});

test('the command line loads the addon only to name its kernel', () => {
  const used = imports.filter(({ from, to }) => from === 'cli' && to === 'native');
  assert.deepEqual(
    used.map(({ file, specifier }) => `${file} imports ${specifier}`),
    ['cli/process-io.ts imports ../native/index.ts'],
  );
});

test('only ebs imports the AWS SDK', () => {
  const users = imports.filter(({ specifier }) => /^@(aws-sdk|smithy)\//.test(specifier));
  assert.notEqual(users.length, 0);
  assert.deepEqual([...new Set(users.map(({ from }) => from))], ['ebs']);
});

test('only the command line imports commander and listr2', () => {
  const users = imports.filter(({ specifier }) => specifier === 'commander' || specifier === 'listr2');
  assert.notEqual(users.length, 0);
  assert.deepEqual([...new Set(users.map(({ from }) => from))], ['cli']);
});

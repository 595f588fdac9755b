/** The list of error codes is complete, has no unused entries, and matches docs/errors.md. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ValidationExceptionReason } from '@aws-sdk/client-ebs';
import { errorsPage, errorsPagePath } from '../../scripts/generate-errors.ts';
import { errorCodes, serviceReasons } from '../../src/error-codes.ts';
import { warningCodes } from '../../src/warning-codes.ts';
import { project } from './markdown.ts';

const source = readdirSync(join(project, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && name !== 'error-codes.ts')
  .map((name) => readFileSync(join(project, 'src', name), 'utf8'))
  .join('\n');

const classes = Object.entries(errorCodes).map(([name, codes]): [string, Set<string>] => [
  name,
  new Set(Object.keys(codes)),
]);
const listed = new Set([...classes.flatMap(([, codes]) => [...codes]), ...Object.keys(warningCodes)]);

test('docs/errors.md is up to date (npm run docs)', () => {
  assert.equal(readFileSync(errorsPagePath, 'utf8'), errorsPage());
});

test('an error is made with a code that is listed for its class', () => {
  const names = classes.map(([name]) => name).join('|');
  const pairs = [...source.matchAll(new RegExp(`'(${names})',\\s*'([A-Z][A-Z0-9_]+)'`, 'g'))];
  assert.ok(pairs.length > 50, `only ${pairs.length} errors found`);
  const wrong = pairs.filter(([, errorClass, code]) => {
    const isErrno = errorClass === 'local' && /^E[A-Z0-9]+$/.test(code!);
    return !isErrno && !classes.some(([name, codes]) => name === errorClass && codes.has(code!));
  });
  assert.deepEqual(
    wrong.map(([, errorClass, code]) => `${errorClass} ${code}`),
    [],
  );
});

test('usage errors and refusals have codes that are listed for their class', () => {
  for (const name of ['usage', 'refused'] as const) {
    const codes = [...source.matchAll(new RegExp(`\\b${name}\\(\\s*'([A-Z][A-Z0-9_]+)'`, 'g'))];
    assert.deepEqual(
      codes.map(([, code]) => code!).filter((code) => !Object.hasOwn(errorCodes[name], code)),
      [],
    );
  }
});

test('every listed code is used', () => {
  const unused = [...listed].filter(
    (code) => !source.includes(`'${code}'`) && !Object.hasOwn(serviceReasons, code),
  );
  assert.deepEqual(unused, []);
});

test('every reason of the service is a code, or is handled by name', () => {
  const unknown = Object.keys(ValidationExceptionReason).filter(
    (reason) => !listed.has(reason) && !source.includes(`'${reason}'`),
  );
  assert.deepEqual(unknown, []);
  assert.deepEqual(
    Object.keys(serviceReasons).filter((reason) => !Object.hasOwn(ValidationExceptionReason, reason)),
    [],
  );
});

/** docs/permissions.md and `coldsnap help permissions` name the same actions for the same commands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { topics } from '../../src/cli/topics.ts';
import { read } from './markdown.ts';

const actionsIn = (text: string): string[] => [...new Set(text.match(/\b(?:ebs|ec2):\w+/g))].sort();

test('docs/permissions.md and the help name the same IAM actions for the same commands', () => {
  const rows = read('docs/permissions.md').matchAll(/^\| (.+?) \| (.*) \|$/gm);
  const inDocs = [...rows].slice(1).map(([, term, text]) => [term!.replaceAll('`', ''), actionsIn(text!)]);
  const topic = topics.find(({ name }) => name === 'permissions');
  const inHelp = topic?.parts
    .flatMap((part) => (typeof part === 'string' ? [] : part))
    .map(([term, text]) => [term, actionsIn(text)]);
  assert.ok(inDocs.length > 5);
  assert.deepEqual(inDocs, inHelp);
});

/** Links in the documents have targets. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { anchors, documents, links, project, read } from './markdown.ts';

for (const document of documents) {
  test(`the links in ${document} have targets`, () => {
    const broken = links(read(document)).filter((target) => {
      if (/^https?:/.test(target)) return false;
      const [path = '', anchor] = target.split('#', 2);
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(project, file))) return true;
      return anchor !== undefined && !anchors(read(file)).has(anchor);
    });
    assert.deepEqual(broken, []);
  });
}

test('web addresses use https', () => {
  const plain = documents.flatMap((document) =>
    links(read(document)).filter((link) => link.startsWith('http:')),
  );
  assert.deepEqual(plain, []);
});

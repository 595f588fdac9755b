/** docs/configuration.md lists every variable and profile key of botocore, and is right about what is read. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { profileKeys } from '../../src/ebs/connect/settings.ts';
import { variables } from '../../src/ebs/connect/variables.ts';
import { read } from './markdown.ts';

const page = read('docs/configuration.md');

/** The rows of a table: names, and what is said of them. */
function rowsOf(heading: string): Map<string, string> {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return new Map([...section.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map((match) => [match[1]!, match[2]!]));
}

const tables: readonly [string, readonly string[]][] = [
  ['Variables', variables],
  ['Keys of a profile', profileKeys],
];

for (const [heading, inCode] of tables) {
  test(`the table "${heading}" agrees with the code`, () => {
    const rows = rowsOf(heading);
    const isRead = [...rows].filter(([, text]) => /^read\b/.test(text)).map(([name]) => name);
    assert.deepEqual(isRead.sort(), [...inCode].sort());
    const others = [...rows].filter(([, text]) => !/^(read\b|not supported: )/.test(text));
    assert.deepEqual(others, []);
  });
}

/** Names that botocore's own files mention. scripts/interop-identity sets the interpreter that has botocore. */
test('every variable and key of botocore is listed', { skip: !process.env.BOTOCORE_PYTHON }, () => {
  const script = `
import json, pathlib, re, botocore
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES as table
text = "".join(p.read_text() for p in pathlib.Path(botocore.__file__).parent.glob("*.py"))
names = set(re.findall(r"['\\"](AWS_[A-Z0-9_]+)['\\"]", text))
for _, variable, *_ in table.values():
    names.update([variable] if isinstance(variable, str) else variable or [])
print(json.dumps([sorted(names), sorted(key for key, *_ in table.values() if key)]))
`;
  const output = execFileSync(process.env.BOTOCORE_PYTHON ?? '', ['-c', script], { encoding: 'utf8' });
  const [names, keys] = JSON.parse(output) as [string[], string[]];
  assert.ok(names.length > 40);
  assert.deepEqual(
    names.filter((name) => !rowsOf('Variables').has(name)),
    [],
  );
  assert.deepEqual(
    keys.filter((key) => !rowsOf('Keys of a profile').has(key)),
    [],
  );
});

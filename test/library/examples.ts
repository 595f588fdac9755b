/** The examples in the documents that are marked as tested, run in a project that has the package. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { project } from '../support/built.ts';
import type { Consumer } from './consumer.ts';

const BLOCK = 524_288;

interface Example {
  readonly file: string;
  /** The line of its fence. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
}

/** The fences directly under `<!-- tested -->`. */
function examplesIn(file: string): Example[] {
  const text = readFileSync(join(project, file), 'utf8');
  return [...text.matchAll(/^<!-- tested -->\n```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    file,
    line: text.slice(0, match.index).split('\n').length + 1,
    language: match[1]!,
    code: match[2]!,
  }));
}

const examples = ['README.md', 'docs/library.md', 'docs/emulator.md'].flatMap(examplesIn);

/** Tests the examples, with a package that is installed by then. */
export function testExamples(consumer: Consumer): void {
  describe('examples in the documents', { concurrency: 2 }, () => {
    test('exist', () => {
      assert.ok(examples.length > 0);
    });

    for (const { file, line, language, code } of examples) {
      test(`${file}:${line} runs`, async (t) => {
        const emulator = await startEmulator();
        t.after(() => emulator.close());
        const name = `${file.replace(/\W/g, '-')}-${line}`;
        const folder = consumer.path(name);
        // For the example with a client of its own; also makes the folder.
        consumer.link('@aws-sdk/client-ebs', name);
        await prepare(emulator, folder);
        const { exit, stderr } = await consumer.run(
          ...commandFor(language, code, folder),
          environment(emulator),
          folder,
        );
        assert.equal(exit, 0, stderr);
      });
    }
  });
}

/** Provides what examples use: an image with zeros in it, and a snapshot with the ID of the documents. */
async function prepare(emulator: Emulator, folder: string): Promise<void> {
  writeFileSync(
    join(folder, 'disk.img'),
    Buffer.concat([randomBytes(BLOCK), Buffer.alloc(BLOCK), randomBytes(1000)]),
  );
  const blocks = new Map([[7, randomBytes(BLOCK)]]);
  await emulator.putSnapshot({ id: 'snap-0123456789abcdef0', volumeSizeGiB: 1, blocks });
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const command = '#!/bin/sh\nexec node ../node_modules/coldsnap/bin/coldsnap.js "$@"\n';
  writeFileSync(join(bin, 'coldsnap'), command, { mode: 0o755 });
}

function environment(emulator: Emulator): Record<string, string> {
  return { AWS_ENDPOINT_URL: emulator.url, PATH: `./bin:${process.env.PATH}` };
}

/** The program that runs an example, and its arguments. */
function commandFor(language: string, code: string, folder: string): [string, string[]] {
  if (language === 'sh') return ['sh', ['-euc', code]];
  const name = join(folder, language === 'ts' ? 'example.mts' : 'example.mjs');
  writeFileSync(name, code);
  const loader = language === 'ts' ? ['--import', import.meta.resolve('tsx')] : [];
  return [process.execPath, [...loader, name]];
}

/** The bench as a command, on files and with the reference client only. */
import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compileProgram } from '../support/compile.ts';
import { missing } from './support.ts';

const SCRIPT = join(import.meta.dirname, '../../scripts/bench/run.ts');

describe('npm run bench', { skip: missing() }, () => {
  let directory = '';
  let program = '';
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'coldsnap-bench-run-'));
    program = await compileProgram({ file: SCRIPT });
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function start(...args: string[]): ChildProcess {
    const common = ['--file', '--dir', directory, '--contenders', 'reference'];
    return spawn(process.execPath, [program, ...common, ...args], { stdio: 'pipe' });
  }

  function textOf(child: ChildProcess): { stdout: string; stderr: string } {
    const text = { stdout: '', stderr: '' };
    child.stdout?.on('data', (chunk) => (text.stdout += chunk));
    child.stderr?.on('data', (chunk) => (text.stderr += chunk));
    return text;
  }

  const images = () => readdirSync(directory).filter((name) => name.startsWith('coldsnap-bench-'));

  test('prints a table, writes the figures and the plot, and removes its images', async () => {
    const [json, svg] = [join(directory, 'figures.json'), join(directory, 'plot.svg')];
    const small = ['--gib', '0.01', '--rounds', '1', '--scenarios', 'download,upload', '--sweep'];
    const child = start(...small, '--json', json, '--svg', svg);
    const text = textOf(child);
    assert.deepEqual(await once(child, 'close'), [0, null], text.stderr);
    assert.match(text.stdout, /\| download, TLS \| C\+\+ reference client \| \*\*[\d.]+\*\* .*\| right \|/);
    assert.match(text.stdout, /\| upload, TLS \| .*\| right \|/);
    const { machine, transfers } = JSON.parse(readFileSync(json, 'utf8')) as {
      machine: { node: string };
      transfers: { runs: unknown[] }[];
    };
    assert.equal(machine.node, process.version);
    assert.equal(transfers.length, 2 + 9);
    assert.ok(transfers.every(({ runs }) => runs.length === 1));
    assert.match(readFileSync(svg, 'utf8'), /^<svg /);
    assert.deepEqual(images(), []);
  });

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(`cleans up on ${signal}`, async () => {
      const child = start('--gib', '0.01', '--rounds', '1000');
      const text = textOf(child);
      const ended = once(child, 'close');
      while (!text.stderr.includes('round 2/')) {
        const data = once(child.stderr as NodeJS.EventEmitter, 'data');
        assert.ok(await Promise.race([data.then(() => true), ended.then(() => false)]), text.stderr);
      }
      child.kill(signal);
      assert.deepEqual(await ended, [code, null], text.stderr);
      assert.match(text.stderr, new RegExp(`interrupted by ${signal}`));
      assert.deepEqual(images(), []);
    });
  }

  test('exits with code 2 and prints the usage for an invalid flag', async () => {
    const child = start('--rounds', 'many');
    const text = textOf(child);
    assert.deepEqual(await once(child, 'close'), [2, null]);
    assert.match(text.stderr, /--rounds many: not a number[\s\S]*usage: npm run bench/);
  });

  test('reports a missing peer before the first run', async () => {
    const child = start('--contenders', 'peer', '--peer', '/nonexistent/coldsnap');
    const text = textOf(child);
    assert.deepEqual(await once(child, 'close'), [1, null]);
    assert.match(text.stderr, /--peer \/nonexistent\/coldsnap: no such file/);
  });
});

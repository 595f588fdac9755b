/** The SHA-256 kernels as C++, compiled for this test: broken ones, and those of ARM under qemu. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf, noise, root, withDirectory } from './support.ts';

const armCompiler = 'aarch64-linux-gnu-g++';
const armRunner = 'qemu-aarch64';

function missing(...programs: string[]): string | false {
  const absent = programs.filter((program) => spawnSync(program, ['--version']).status !== 0);
  return absent.length > 0 && `there is no ${absent.join(' and no ')}`;
}

function compile(compiler: string, directory: string, flags: readonly string[]): string {
  const native = join(root, 'native');
  const sources = readdirSync(native).filter((name) => /^sha256.*\.cc$/.test(name));
  const program = join(directory, 'kernels_check');
  execFileSync(compiler, [
    ...['-std=c++17', '-Wall', '-Wextra', '-Werror', '-I', native, ...flags, '-o', program],
    ...[join(root, 'test/native/kernels_check.cc'), ...sources.map((name) => join(native, name))],
  ]);
  return program;
}

/** The output of kernels_check for each correct kernel, computed by node:crypto. */
function expectedDigests(): string[] {
  const messages = Array.from({ length: 200 }, (_, length) => noise(length, length));
  for (let count = 1; count <= 20; count++) {
    for (let i = 0; i < count; i++) messages.push(noise(1000, i + 1));
  }
  return messages.map((message) => Buffer.from(digestOf(message)).toString('hex'));
}

/** Splits the output into kernels; each must have exactly the expected digests. */
function assertDigests(output: string): string[] {
  const lines = output.trimEnd().split('\n');
  const expected = expectedDigests();
  const kernels: string[] = [];
  while (lines.length > 0) {
    kernels.push(lines.shift()!);
    assert.deepEqual(lines.splice(0, expected.length), expected, kernels.at(-1));
  }
  return kernels;
}

test('a kernel that fails the self-test in any width, lane or block is rejected, and the next one used', {
  skip: missing('g++'),
}, async () => {
  await withDirectory((directory) => {
    // CXXFLAGS is how scripts/sanitize has its way.
    const flags = (process.env.CXXFLAGS ?? '').split(' ').filter((flag) => flag !== '');
    const program = compile('g++', directory, ['-O0', ...flags]);
    const output = execFileSync(program, ['select'], { encoding: 'utf8' });
    const milliseconds = Number(/in ([\d.]+) ms/.exec(output)![1]);
    assert.ok(milliseconds < 50, `${output} (typically far below 1 ms)`);
    assert.equal(assertDigests(execFileSync(program, ['digests'], { encoding: 'utf8' })).at(-1), 'portable');
  });
});

test('the kernel for ARM agrees with node:crypto, under qemu', {
  skip: missing(armCompiler, armRunner),
}, async () => {
  await withDirectory((directory) => {
    // Static, because qemu has no ARM libraries to load.
    const program = compile(armCompiler, directory, ['-O2', '-static']);
    const output = execFileSync(armRunner, [program, 'digests'], { encoding: 'utf8' });
    assert.deepEqual(assertDigests(output), ['armv8', 'portable']);
    execFileSync(armRunner, [program, 'select']);
  });
});

/** The package as installed: packed, unpacked into node_modules, used from other programs. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { version } from '../../src/version.ts';
import { needsBuild, project } from '../support/built.ts';
import { Consumer } from './consumer.ts';

const programs = fileURLToPath(new URL('programs', import.meta.url));

/** Uses the exports of the package, with and without optional properties, as strict projects do. */
const typed = `
import { Readable, Writable } from 'node:stream';
import { EBSClient } from '@aws-sdk/client-ebs';
import {
  ColdsnapError, downloadSnapshot, uploadSnapshot, waitForSnapshot, listPendingSnapshots,
  type DownloadOptions, type DownloadResult, type ErrorClass, type ErrorCode, type PendingSnapshot, type SnapshotTag,
  type SystemErrorCode, type TransferEvent, type TransferPhase, type UploadOptions, type UploadResult, type WaitResult,
} from 'coldsnap';
import { startEmulator, type Emulator, type FaultRule } from 'coldsnap/emulator';

const events: TransferEvent[] = [];
const options: DownloadOptions = { snapshotId: 'snap-1', target: new Writable(), onEvent: (event) => events.push(event) };
export async function use(signal: AbortSignal, force?: boolean): Promise<number> {
  const down: DownloadResult = await downloadSnapshot({ ...options, signal, force, ebsClient: new EBSClient({}) });
  const tags: SnapshotTag[] = [{ key: 'a', value: 'b' }];
  const given: UploadOptions = { source: Readable.from([]), volumeSizeGiB: 1, tags, description: undefined, wait: true };
  const up: UploadResult = await uploadSnapshot(given);
  const waited: WaitResult = await waitForSnapshot({ snapshotId: up.snapshotId, timeoutMs: 1000 });
  const pending: PendingSnapshot[] = await listPendingSnapshots();
  const rules: FaultRule[] = [{ operation: 'GetSnapshotBlock', nth: 3, action: { type: 'drop' } }];
  const emulator: Emulator = await startEmulator({ faults: rules, port: 0 });
  await emulator.close();
  for (const event of events) {
    if (event.type === 'retry') console.log(event.delayMs.toFixed(), event.block?.toFixed());
    // @ts-expect-error: only a status has an attempt
    if (event.type === 'start') console.log(event.attempt);
  }
  const { code } = new ColdsnapError('refused', 'TARGET_EXISTS', 'exists');
  const known: ErrorCode | SystemErrorCode = code;
  const phase: TransferPhase = 'committing';
  // @ts-expect-error: not in the list of codes
  if (code === 'NO_SUCH_CODE') console.log(known, phase);
  // @ts-expect-error: a snapshot ID is needed
  await downloadSnapshot({ target: 'x' });
  return down.bytesDone + waited.attempts + pending.length;
}
export function judge(error: unknown): ErrorClass | undefined {
  return error instanceof ColdsnapError ? error.class : undefined;
}
`;

describe('the package', { ...needsBuild, concurrency: 2 }, () => {
  const consumer = new Consumer();
  let emulator: Emulator;

  before(async () => {
    emulator = await startEmulator();
    await consumer.install();
  });
  after(async () => {
    await emulator.close();
    consumer.remove();
  });

  test('contains the program, its sources and its documents, and nothing else', () => {
    for (const path of [
      ...['package.json', 'LICENSE', 'README.md', 'CHANGELOG.md', 'bin/coldsnap.js', 'docs/coldsnap.1'],
      ...['dist/index.js', 'dist/index.d.ts', 'dist/emulator/index.js', 'dist/cli/main.js', 'src/index.ts'],
      ...['binding.gyp', 'scripts/build-native.js'],
    ]) {
      assert.ok(consumer.packed.includes(path), `${path} is missing`);
    }
    const sources = readdirSync(join(project, 'native'), { recursive: true, encoding: 'utf8' });
    for (const name of sources.filter((path) => /\.(cc|h)$/.test(path))) {
      assert.ok(consumer.packed.includes(`native/${name}`), `native/${name} is missing`);
    }
    const unexpected = consumer.packed.filter(
      (path) =>
        !/^(bin|dist|docs|native|src)\/|^scripts\/build-native\.js$|^[\w-]+(\.(json|md|gyp))?$/.test(path),
    );
    assert.deepEqual(unexpected, []);
    assert.deepEqual(
      consumer.packed.filter((path) => /test|\.node$|\.tgz$|(^|\/)\./.test(path)),
      [],
    );
  });

  test('has no module with a top-level await, so that require can load all of it', () => {
    const dist = consumer.path('node_modules/coldsnap/dist');
    const names = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.js'),
    );
    assert.ok(names.length > 20);
    const asynchronous = names.filter((name) => awaitsAtTopLevel(readFileSync(join(dist, name), 'utf8')));
    assert.deepEqual(asynchronous, []);
  });

  for (const name of readdirSync(programs)) {
    const program = join(programs, name);
    const title = readFileSync(program, 'utf8')
      .split('\n', 1)[0]!
      .replace(/^\/\/ /, '');
    test(`${title} (${name})`, async () => {
      const folder = consumer.path(name.replace('.', '-'));
      mkdirSync(folder);
      const copy = join(folder, name);
      writeFileSync(copy, readFileSync(program));
      const { exit, stdout, stderr } = await consumer.run(
        process.execPath,
        [copy],
        { ENDPOINT: emulator.url },
        folder,
      );
      assert.equal(exit, 0, stderr);
      assert.deepEqual([stdout, stderr], ['', '']);
    });
  }

  test('has a command that runs through the link that npm creates', async () => {
    mkdirSync(consumer.path('node_modules/.bin'));
    symlinkSync('../coldsnap/bin/coldsnap.js', consumer.path('node_modules/.bin/coldsnap'));
    const command = consumer.path('node_modules/.bin/coldsnap');
    assert.deepEqual(await consumer.run(command, ['--version'], {}), {
      exit: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
    writeFileSync(consumer.path('command.img'), 'an image');
    const args = ['--endpoint', emulator.url, '--quiet', 'upload', 'command.img'];
    const { exit, stdout, stderr } = await consumer.run(command, args, {});
    assert.deepEqual([exit, stderr], [0, '']);
    assert.equal(emulator.snapshot(stdout.trim())?.description, 'command.img');
  });

  test('has declarations that compile in a strict project, with both module resolutions', () => {
    consumer.linkTypes();
    const file = consumer.path('use.mts');
    writeFileSync(file, typed);
    const host = cachingHost();
    for (const [module, moduleResolution] of [
      [ts.ModuleKind.Node16, ts.ModuleResolutionKind.Node16],
      [ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler],
    ] as const) {
      const options = {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: ts.ScriptTarget.ES2022,
      };
      const all = {
        ...options,
        module,
        moduleResolution,
        types: ['node'],
        typeRoots: [consumer.path('node_modules/@types')],
      };
      const program = ts.createProgram([file], all, host);
      const own = program
        .getSourceFiles()
        .filter(({ fileName }) => fileName === file || fileName.includes('/node_modules/coldsnap/'));
      assert.ok(own.length > 5);
      const problems = own.flatMap((source) => [
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
      ]);
      problems.push(...program.getOptionsDiagnostics());
      assert.equal(ts.formatDiagnostics(problems, { ...host, getNewLine: () => '\n' }), '');
    }
  });
});

/** Reports whether a module has an await outside functions. */
function awaitsAtTopLevel(text: string): boolean {
  const source = ts.createSourceFile('module.js', text, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
  const visit = (node: ts.Node): boolean => {
    if (ts.isFunctionLike(node) || ts.isClassLike(node)) return false;
    if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined))
      return true;
    return ts.forEachChild(node, visit) ?? false;
  };
  return visit(source);
}

/** Parses each declaration once: those of the AWS SDK take most of the time. */
function cachingHost(): ts.CompilerHost {
  const host = ts.createCompilerHost({});
  const parsed = new Map<string, ts.SourceFile | undefined>();
  return {
    ...host,
    getSourceFile(path, languageVersion, ...others) {
      const format = typeof languageVersion === 'object' ? languageVersion.impliedNodeFormat : undefined;
      const key = `${format} ${path}`;
      if (!parsed.has(key)) parsed.set(key, host.getSourceFile(path, languageVersion, ...others));
      return parsed.get(key);
    },
  };
}

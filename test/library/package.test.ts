/** The package as installed: packed, unpacked into node_modules, used from other programs. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';
import ts from 'typescript';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { version } from '../../src/version.ts';
import { needsBuild } from '../support/built.ts';
import { Consumer } from './consumer.ts';
import { testExamples } from './examples.ts';

const programs = fileURLToPath(new URL('programs', import.meta.url));

/** Packages that a consumer can have besides, in a separate folder so that the package cannot use them. */
const sdks = ['@aws-sdk/client-ebs', '@aws-sdk/client-ec2'];

/** Uses what the package exports, with and without optional things, as strict projects do. */
const typed = `
import { Readable, Writable } from 'node:stream';
import {
  ColdsnapError, downloadSnapshot, uploadSnapshot, waitForSnapshot, listPendingSnapshots,
  type DownloadOptions, type DownloadResult, type ErrorClass, type ErrorCode, type PendingSnapshot, type SnapshotTag,
  type SystemErrorCode, type TransferEvent, type TransferPhase, type UploadOptions, type UploadResult, type WaitResult,
} from 'coldsnap';
import { startEmulator, type Emulator, type FaultRule } from 'coldsnap/emulator';

const events: TransferEvent[] = [];
const options: DownloadOptions = { snapshotId: 'snap-1', target: new Writable(), onEvent: (event) => events.push(event) };
export async function use(signal: AbortSignal, force?: boolean): Promise<number> {
  const down: DownloadResult = await downloadSnapshot({ ...options, signal, force });
  const given: UploadOptions = { source: Readable.from([]), volumeSizeGiB: 1, tags: [{ key: 'a', value: 'b' }], wait: true };
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

/** Clients of the consumer's own SDK, in the place of those that the package makes. */
const typedClients = `
import { EBSClient } from '@aws-sdk/client-ebs';
import { EC2Client } from '@aws-sdk/client-ec2';
import { uploadSnapshot, type UploadResult } from 'coldsnap';

export function use(): Promise<UploadResult> {
  return uploadSnapshot({ source: 'x', ebsClient: new EBSClient({}), ec2Client: new EC2Client({}) });
}
// @ts-expect-error: not a client
void uploadSnapshot({ source: 'x', ebsClient: { region: 'eu-west-1' } });
`;

/** Downloads where it may write, then where it may not. */
const permissions = `
import { downloadSnapshot, verifySnapshot } from 'coldsnap';

const [, , endpoint, snapshotId] = process.argv;
await downloadSnapshot({ endpoint, snapshotId, target: 'allowed/disk.img', verify: true });
const { equal } = await verifySnapshot({ endpoint, snapshotId, target: 'allowed/disk.img' });
await downloadSnapshot({ endpoint, snapshotId, target: 'denied/disk.img' }).catch((error) => {
  console.log(equal, error.class, error.code, error.message);
});
`;

describe('the package', { ...needsBuild, concurrency: 2 }, () => {
  const consumer = new Consumer();
  let emulator: Emulator;

  before(async () => {
    emulator = await startEmulator();
    await consumer.install();
    consumer.link('@types/node');
  });
  after(async () => {
    await emulator.close();
    consumer.remove();
  });

  test('holds the program, the addons and its papers, and nothing else', () => {
    for (const path of [
      ...['package.json', 'LICENSE', 'README.md', 'CHANGELOG.md', 'bin/coldsnap.js', 'docs/coldsnap.1'],
      ...['dist/index.js', 'dist/index.d.ts', 'dist/emulator/index.js', 'dist/emulator/index.d.ts'],
      ...['dist/cli/main.js', 'dist/cli/THIRD-PARTY-LICENSES'],
      ...['linux-x64', 'linux-x64-musl', 'linux-arm64', 'linux-arm64-musl'].map(
        (target) => `prebuilds/${target}/coldsnap.node`,
      ),
    ]) {
      assert.ok(consumer.packed.includes(path), `${path} is missing`);
    }
    const known = /^(bin|dist|docs|prebuilds|src)\/|^(package\.json|LICENSE|README\.md|CHANGELOG\.md)$/;
    assert.deepEqual(
      consumer.packed.filter((path) => !known.test(path) || /test|\.tgz$|binding\.gyp$|(^|\/)\./.test(path)),
      [],
    );
  });

  test('has nothing that npm would run, build or download at installation', () => {
    const manifest: Record<string, unknown> = JSON.parse(
      readFileSync(consumer.path('node_modules/coldsnap/package.json'), 'utf8'),
    );
    const fields = ['scripts', 'dependencies', 'optionalDependencies', 'peerDependencies', 'gypfile'];
    assert.deepEqual(
      fields.filter((field) => field in manifest),
      [],
    );
    assert.deepEqual([manifest.os, manifest.version], [['linux'], version]);
  });

  test('has a declaration map for each declaration, which leads to a source that is there', () => {
    const declarations = consumer.packed.filter((path) => path.endsWith('.d.ts'));
    assert.ok(declarations.length > 5);
    for (const path of declarations) {
      assert.ok(consumer.packed.includes(`${path}.map`), `${path}.map is missing`);
      const map = JSON.parse(readFileSync(consumer.path('node_modules/coldsnap', `${path}.map`), 'utf8'));
      const sources: string[] = map.sources.map((source: string) => posix.join(posix.dirname(path), source));
      assert.deepEqual(
        sources.filter((source) => !consumer.packed.includes(source)),
        [],
        path,
      );
    }
  });

  test('needs no module that is loaded asynchronously, so that require can load all of it', async () => {
    const dist = consumer.path('node_modules/coldsnap/dist');
    const names = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.js'),
    );
    assert.ok(names.length > 5);
    const waiting: string[] = [];
    for (const name of names) {
      if (await awaitsAtTopLevel(readFileSync(join(dist, name), 'utf8'))) waiting.push(name);
    }
    assert.deepEqual(waiting, []);
  });

  for (const name of readdirSync(programs)) {
    const program = join(programs, name);
    const title = readFileSync(program, 'utf8')
      .split('\n', 1)[0]!
      .replace(/^\/\/ /, '');
    test(`${title} (${name})`, async () => {
      const folder = consumer.path(name.replace('.', '-'));
      mkdirSync(folder);
      for (const sdk of sdks) consumer.link(sdk, name.replace('.', '-'));
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

  test("works under Node's permission model, and names what that denies", async () => {
    const flag = process.allowedNodeEnvironmentFlags.has('--permission') ? '' : 'experimental-';
    const allowed = ['--allow-addons', '--allow-fs-read=*', `--allow-fs-write=${consumer.path('allowed')}/*`];
    mkdirSync(consumer.path('allowed'));
    mkdirSync(consumer.path('denied'));
    const snapshotId = await emulator.putSnapshot({
      volumeSizeGiB: 1,
      blocks: { 7: Buffer.alloc(524_288, 7) },
    });
    writeFileSync(consumer.path('permissions.mjs'), permissions);
    const args = [
      `--${flag}permission`,
      ...allowed,
      '--no-warnings',
      'permissions.mjs',
      emulator.url,
      snapshotId,
    ];
    const { exit, stdout, stderr } = await consumer.run(process.execPath, args, {});
    assert.deepEqual([exit, stderr], [0, '']);
    const denied = consumer.path('denied/disk.img.partial');
    assert.equal(stdout, `true local EACCES could not open ${denied}: permission denied\n`);
  });

  testExamples(consumer);

  test('has declarations that a strict project without the AWS SDK compiles against, in either way of finding modules', () => {
    assert.equal(compile('use.mts', typed), '');
  });

  test('takes clients of an AWS SDK that the project has', () => {
    for (const sdk of sdks) consumer.link(sdk, 'with-sdk');
    assert.equal(compile('with-sdk/clients.mts', typedClients), '');
  });

  const host = cachingHost();

  /** The compiler's complaints about a program of the consumer's and the package's declarations. */
  function compile(name: string, text: string): string {
    const file = consumer.path(name);
    writeFileSync(file, text);
    let complaints = '';
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
      complaints += ts.formatDiagnostics(problems, { ...host, getNewLine: () => '\n' });
    }
    return complaints;
  }
});

/** Reports whether a module has an await outside functions, which esbuild cannot convert to CommonJS. */
async function awaitsAtTopLevel(text: string): Promise<boolean> {
  try {
    await transform(text, { format: 'cjs', logLevel: 'silent' });
    return false;
  } catch (error) {
    assert.match(String(error), /Top-level await is currently not supported/);
    return true;
  }
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

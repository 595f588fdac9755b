/**
 * Runs tests compiled, with Node's own runner: `npm test -- [FILE | OPTION]…`. Each of the 200 test files is a process, and
 * to load the sources and the AWS SDK it needs 1.5 s of processor time with tsx and 0.3 s compiled.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { compileOptions, compileProgram } from '../test/support/compile.ts';

const project = fileURLToPath(new URL('..', import.meta.url));
const lightRunner = new URL('../test/support/light-runner.js', import.meta.url).href;

/** Their files run first, so that no long one runs alone at the end. */
const slowLayers = ['library', 'faults', 'property', 'transfer', 'e2e', 'docs'];

function allFiles(): string[] {
  const layers = readdirSync(join(project, 'test')).filter((layer) => !slowLayers.includes(layer));
  return [...slowLayers, ...layers].flatMap((layer) => {
    const directory = join(project, 'test', layer);
    const names = readdirSync(directory).filter((name) => name.endsWith('.test.ts'));
    return names.map((name) => join(directory, name));
  });
}

/** Compiles test files into a directory, and returns the files in the order of their names there. */
async function compile(files: readonly string[], directory: string): Promise<string[]> {
  const entryPoints = files.map((file, index) => ({
    in: resolve(file),
    // The runner sorts by path. The reporter finds the source's name in it.
    out: join(String(index).padStart(3, '0'), resolve(file).replace(/\.ts$/, '')),
  }));
  await build({
    ...compileOptions,
    entryPoints,
    outdir: directory,
    external: ['esbuild', 'tsx', 'typescript'],
    sourcemap: 'linked',
    sourcesContent: false,
  });
  return entryPoints.map(({ out }) => join(directory, `${out}.mjs`));
}

/**
 * Runs compiled tests until they end or a signal stops them, and returns the exit code.
 * @param command the compiled command line, if it is there
 */
async function run(
  files: readonly string[],
  options: readonly string[],
  command: string | undefined,
): Promise<number> {
  const hasReporter = options.some((option) => option.startsWith('--test-reporter'));
  // Our reporter reads the source maps of failures; for others, each process loads those of all its modules.
  const reporter = [hasReporter ? '--enable-source-maps' : '--test-reporter=./test/support/reporter.js'];
  // More than there are processors, because many tests wait for disks and timers most of their time.
  const concurrency = `--test-concurrency=${2 * availableParallelism() + 1}`;
  const defaults = ['--import', lightRunner, '--test', '--test-timeout=1800000', concurrency, ...reporter];
  const args = [...defaults, ...options, ...files];
  const env = {
    ...process.env,
    ...(command === undefined ? {} : { COLDSNAP_TEST_COMMAND: command }),
    // Node.js 20 is tested for those who still have it; the SDK would warn of it in every process.
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  };
  const runner = spawn(process.execPath, args, { stdio: 'inherit', env });
  stop = (signal) => runner.kill(signal);
  const [code] = (await once(runner, 'exit')) as [number | null];
  return code ?? 1;
}

const directory = mkdtempSync(join(project, '.test-'));
process.on('exit', () => rmSync(directory, { recursive: true }));
let stop = (_signal: NodeJS.Signals): unknown => process.exit(1);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal));

const isFile = (argument: string) => argument.endsWith('.test.ts');
const given = process.argv.slice(2);
const all = !given.some(isFile);
const files = all ? allFiles() : given.filter(isFile);
const options = given.filter((argument) => !isFile(argument));
const missing = files.filter((file) => !existsSync(file));
if (missing.length > 0) {
  console.error(`no such test file: ${missing.join(', ')}`);
  process.exit(2);
}
// A dozen files start it; each compiles it for itself unless it is there.
const command = all ? await compileProgram({ file: join(project, 'test/faults/child.ts') }) : undefined;
process.exitCode = await run(await compile(files, directory), options, command);

/**
 * Lays out the npm package in a new directory: compiled, bundled with its dependencies, with the prebuilt addons, and
 * without anything that npm would run or build at installation.
 *
 *   node scripts/stage-npm.js DIRECTORY PREBUILDS
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const project = fileURLToPath(new URL('..', import.meta.url));
const [stage, prebuilds] = process.argv.slice(2).map((path) => resolve(path));
if (prebuilds === undefined) throw new Error('usage: stage-npm DIRECTORY PREBUILDS');
const dist = join(stage, 'dist');
mkdirSync(stage);

compile();
for (const entry of ['index', 'emulator/index']) copyTypes(entry);
execFileSync(process.execPath, ['scripts/bundle-cli.js', dist, '--library'], {
  cwd: project,
  stdio: 'inherit',
});

for (const path of ['bin', 'docs', 'LICENSE', 'README.md', 'CHANGELOG.md']) {
  cpSync(join(project, path), join(stage, path), { recursive: true });
}
for (const target of ['linux-x64', 'linux-x64-musl', 'linux-arm64', 'linux-arm64-musl']) {
  const addon = join('prebuilds', target, 'coldsnap.node');
  cpSync(join(prebuilds, target, 'coldsnap.node'), join(stage, addon));
}
// The libraries are in the bundle; everything is in the directory that is packed.
const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
for (const key of ['scripts', 'dependencies', 'devDependencies', 'files']) delete manifest[key];
writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);

/** Compiles each source by itself: npm run build has checked the types and written the declarations. */
function compile() {
  const { config } = ts.readConfigFile(join(project, 'tsconfig.build.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, project);
  // The compiler does not see package.json, which says that these are ES modules.
  const compilerOptions = { ...options, module: ts.ModuleKind.ESNext };
  for (const name of readdirSync(join(project, 'src'), { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const text = readFileSync(join(project, 'src', name), 'utf8');
    const output = join(dist, name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(output), { recursive: true });
    writeFileSync(output, ts.transpileModule(text, { compilerOptions, fileName: name }).outputText);
  }
}

/** Copies the declarations of a module, those that they lead to, and the sources that their maps name. */
function copyTypes(module) {
  const copy = join(dist, `${module}.d.ts`);
  if (statSync(copy, { throwIfNoEntry: false })) return;
  const built = join(project, 'dist', `${module}.d.ts`);
  const source = join('src', `${module}.ts`);
  if (!(statSync(built, { throwIfNoEntry: false })?.mtimeMs >= statSync(join(project, source)).mtimeMs)) {
    throw new Error(`${built} is missing or older than ${source}: npm run build`);
  }
  cpSync(built, copy);
  cpSync(join(project, source), join(stage, source));
  const map = JSON.parse(readFileSync(`${built}.map`, 'utf8'));
  map.sources = [relative(dirname(copy), join(stage, source))];
  writeFileSync(`${copy}.map`, JSON.stringify(map));
  for (const [, specifier] of readFileSync(copy, 'utf8').matchAll(/\bfrom '(\.[^']+)\.[jt]s'/g)) {
    copyTypes(join(dirname(module), specifier));
  }
}

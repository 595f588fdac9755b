/**
 * Lays out the npm package in a new directory: compiled, bundled with its dependencies, with the prebuilt addons, and
 * without anything that npm would run or build at installation.
 *
 *   node scripts/stage-npm.js DIRECTORY PREBUILDS
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('..', import.meta.url));
const [stage, prebuilds] = process.argv.slice(2).map((path) => resolve(path));
if (prebuilds === undefined) throw new Error('usage: stage-npm DIRECTORY PREBUILDS');
const dist = join(stage, 'dist');
mkdirSync(stage);

const run = (...args) => execFileSync(process.execPath, args, { cwd: project, stdio: 'inherit' });
// npm run build has checked the types.
const compiling = ['-p', 'tsconfig.build.json', '--noCheck', '--declarationMap', '--outDir', dist];
run('node_modules/typescript/bin/tsc', ...compiling);
removePrivateTypes(['index.d.ts', 'emulator/index.d.ts']);
run('scripts/bundle-cli.js', dist, '--library');

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

/** Keeps only the declarations that the package's own lead to, with the sources that their maps name. */
function removePrivateTypes(entries) {
  const used = new Set();
  const visit = (path) => {
    if (used.has(path)) return;
    used.add(path);
    for (const [, specifier] of readFileSync(path, 'utf8').matchAll(/\bfrom '(\.[^']+)\.[jt]s'/g)) {
      visit(join(dirname(path), `${specifier}.d.ts`));
    }
  };
  for (const entry of entries) visit(join(dist, entry));
  for (const name of readdirSync(dist, { recursive: true })) {
    if (/\.d\.ts(\.map)?$/.test(name) && !used.has(join(dist, name.replace(/\.map$/, '')))) {
      rmSync(join(dist, name));
    }
  }
  for (const path of used) {
    const source = join('src', relative(dist, path).replace(/\.d\.ts$/, '.ts'));
    cpSync(join(project, source), join(stage, source));
    // The compiler wrote the way to the project's sources.
    const map = JSON.parse(readFileSync(`${path}.map`, 'utf8'));
    map.sources = [relative(dirname(path), join(stage, source))];
    writeFileSync(`${path}.map`, JSON.stringify(map));
  }
}

// Builds the addon in the current directory with node-gyp. Arguments are node-gyp's; the default is `rebuild`.
//
// node-gyp downloads Node's headers unless npm's setting `nodedir` is given. Most installations of Node include them, in
// ../include/node relative to the program; these are used, so that a build needs no network.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const prefix = dirname(dirname(process.execPath));

function headersFit() {
  try {
    const header = readFileSync(join(prefix, 'include/node/node_version.h'), 'utf8');
    const version = ['MAJOR', 'MINOR', 'PATCH'].map(
      (part) => header.match(new RegExp(`^#define NODE_${part}_VERSION (\\d+)$`, 'm'))?.[1],
    );
    return version.join('.') === process.versions.node;
  } catch {
    return false;
  }
}

const setting = /^npm_(config|package_config_node_gyp)_(nodedir|target)$/i;
const told = Object.keys(process.env).some((name) => setting.test(name));
const given = process.argv.slice(2);
const args = given.length === 0 ? ['rebuild'] : given;
if (!told && headersFit()) args.push('--nodedir', prefix);
const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
const { status, error } = spawnSync(process.execPath, [nodeGyp, ...args], { stdio: 'inherit' });
if (error) throw error;
process.exitCode = status ?? 1;

/**
 * Writes what the packages say about their contents: `describe.ts TREE ARCH` adds copyright, licences and the SBOM to a
 * staged tree. The command line's packages come from the bundler (dist/cli/bundled.json), Node's libraries from Node.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(project, path), 'utf8');

export interface BundledPackage {
  name: string;
  version: string;
  /** SPDX identifier. */
  license: string;
  copyright: string[];
}

interface Versions {
  node: string;
  /** SHA-256 by `REGISTRY:NAME@VERSION`. */
  sha256: Record<string, string[]>;
}

interface Component {
  type: 'application' | 'library' | 'platform' | 'file';
  'bom-ref': string;
  name: string;
  version: string;
  purl?: string;
  licenses?: { expression: string }[];
  hashes?: { alg: 'SHA-256'; content: string }[];
  components?: Component[];
}

/** Not libraries: numbers of interfaces and formats, and Node itself. */
const notLibraries = new Set(['node', 'modules', 'napi', 'unicode', 'cldr', 'tz']);
const llvm = 'Apache-2.0 WITH LLVM-exception';

function npmComponent(name: string, version: string, license: string): Component {
  const purl = `pkg:npm/${name.replace(/^@/, '%40')}@${version}`;
  return { type: 'library', 'bom-ref': purl, name, version, purl, licenses: [{ expression: license }] };
}

function library(owner: string, name: string, version: string, license?: string): Component {
  return {
    type: 'library',
    'bom-ref': `${owner}/${name}@${version}`,
    name,
    version,
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
  };
}

export interface Contents {
  version: string;
  arch: 'x64' | 'arm64';
  bundled: BundledPackage[];
  versions: Versions;
  /** `process.versions` of the runtime in the package. */
  runtime: Record<string, string>;
  nodeApi: { addonApi: string; zig: string };
  /** SHA-256 of the staged files. */
  hashes: { node: string; addon: string };
  /** Seconds since 1970: the time of the commit. */
  epoch: number;
}

/** The software bill of materials, as CycloneDX 1.6. The same contents give the same text. */
export function sbom(contents: Contents): string {
  const { version, arch, bundled, versions, runtime, nodeApi, hashes, epoch } = contents;
  const runtimeLibraries = Object.keys(runtime).filter((name) => !notLibraries.has(name));
  const node: Component = {
    type: 'platform',
    'bom-ref': `node@${versions.node}`,
    name: 'node',
    version: versions.node,
    purl: `pkg:npm/node-linux-${arch}@${versions.node}`,
    licenses: [{ expression: 'MIT' }],
    hashes: [{ alg: 'SHA-256', content: hashes.node }],
    components: runtimeLibraries.sort().map((name) => library('node', name, runtime[name]!)),
  };
  const addon: Component = {
    type: 'file',
    'bom-ref': 'coldsnap.node',
    name: 'coldsnap.node',
    version,
    licenses: [{ expression: 'Apache-2.0' }],
    hashes: [{ alg: 'SHA-256', content: hashes.addon }],
    components: [
      npmComponent('node-addon-api', nodeApi.addonApi, 'MIT'),
      ...['libc++', 'libc++abi', 'libunwind'].map((name) =>
        library('coldsnap.node', name, `zig-${nodeApi.zig}`, llvm),
      ),
    ],
  };
  const components = [
    ...bundled.map(({ name, version, license }) => npmComponent(name, version, license)),
    node,
    addon,
  ];
  const metadata = {
    timestamp: new Date(epoch * 1000).toISOString(),
    component: {
      type: 'application',
      'bom-ref': 'coldsnap',
      name: 'coldsnap',
      version,
      licenses: [{ expression: 'Apache-2.0' }],
    },
  };
  const dependencies = [{ ref: 'coldsnap', dependsOn: components.map((component) => component['bom-ref']) }];
  const bom = { bomFormat: 'CycloneDX', specVersion: '1.6', version: 1, metadata, components, dependencies };
  return `${JSON.stringify(bom, null, 1)}\n`;
}

/** The copyright file of Debian's packages (DEP-5). Texts of licences are in THIRD-PARTY-LICENSES and NODE-LICENSE. */
export function copyright(bundled: BundledPackage[]): string {
  const licences = [...new Set(bundled.map(({ license }) => license))].sort();
  const holders = [...new Set(bundled.flatMap((item) => item.copyright))].sort();
  const texts = '/usr/share/doc/coldsnap/THIRD-PARTY-LICENSES.gz';
  const paragraphs = [
    `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: coldsnap
Source: The repository of coldsnap. The versions of all parts are listed in
 /usr/share/doc/coldsnap/sbom.cdx.json`,
    `Files: *
Copyright: 2026 The authors of coldsnap
License: Apache-2.0`,
    `Files: usr/lib/coldsnap/dist/*
Copyright: 2026 The authors of coldsnap
${holders.map((holder) => ` ${holder}`).join('\n')}
License: ${['Apache-2.0', ...licences.filter((name) => name !== 'Apache-2.0')].join(' and ')}
Comment: coldsnap, bundled with these packages:
${bundled.map(({ name, version, license }) => ` ${name} ${version} (${license})`).join('\n')}`,
    `Files: usr/lib/coldsnap/prebuilds/*
Copyright: 2026 The authors of coldsnap
 2017 Node.js API collaborators
 2009-2019 by the contributors to LLVM's libc++, libc++abi and libunwind
License: Apache-2.0 and MIT and Apache-2.0-with-LLVM-exception`,
    `Files: usr/lib/coldsnap/node
Copyright: Node.js contributors, and the authors of its libraries
License: Node.js`,
    `License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.`,
    `License: Apache-2.0-with-LLVM-exception
 The Apache License 2.0 (/usr/share/common-licenses/Apache-2.0), with this exception:
 .
${llvmException.map((line) => ` ${line}`).join('\n')}`,
    ...licences
      .filter((name) => name !== 'Apache-2.0')
      .map((name) => `License: ${name}\n The text, with the names of each package, is in\n ${texts}`),
    `License: Node.js
 MIT for Node.js itself; its libraries have licences of their own. All texts are in
 /usr/share/doc/coldsnap/NODE-LICENSE.gz`,
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

const llvmException = [
  'As an exception, if, as a result of your compiling your source code, portions of this Software are embedded into',
  'an Object form of such source code, you may redistribute such embedded portions in such Object form without',
  'complying with the conditions of Sections 4(a), 4(b) and 4(d) of the License.',
];

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function describe(tree: string, arch: 'x64' | 'arm64', node: string): void {
  const bundled: BundledPackage[] = JSON.parse(read('dist/cli/bundled.json'));
  const versions: Versions = JSON.parse(read('packaging/versions.json'));
  const zig = Object.keys(versions.sha256).find((name) => name.startsWith('pypi:ziglang@'));
  if (zig === undefined) throw new Error('packaging/versions.json names no ziglang');
  const documents = join(tree, 'usr/share/doc/coldsnap');
  const contents: Contents = {
    version: JSON.parse(read('package.json')).version,
    arch,
    bundled,
    versions,
    runtime: JSON.parse(execFileSync(node, ['-p', 'JSON.stringify(process.versions)'], { encoding: 'utf8' })),
    nodeApi: {
      addonApi: JSON.parse(read('node_modules/node-addon-api/package.json')).version,
      zig: zig.split('@')[1]!,
    },
    hashes: {
      node: sha256(join(tree, 'usr/lib/coldsnap/node')),
      addon: sha256(join(tree, `usr/lib/coldsnap/prebuilds/linux-${arch}/coldsnap.node`)),
    },
    epoch: Number(process.env.SOURCE_DATE_EPOCH),
  };
  writeFileSync(join(documents, 'sbom.cdx.json'), sbom(contents));
  writeFileSync(join(documents, 'copyright'), copyright(bundled));
}

if (realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)) {
  const [tree, arch, node] = process.argv.slice(2);
  if (tree === undefined || (arch !== 'x64' && arch !== 'arm64') || node === undefined) {
    throw new Error('usage: describe.ts TREE x64|arm64 NODE');
  }
  describe(tree, arch, node);
}

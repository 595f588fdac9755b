/**
 * The files of the deb and the RPM, staged from this build. The Node.js that runs the tests stands in for the pinned one, and
 * the addon of the clone for the prebuilt one: test/package/roots installs the real packages.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { BundledPackage } from '../../packaging/describe.ts';
import { version } from '../../src/version.ts';
import { needsBuild, project } from '../support/built.ts';

const arch = process.arch;
const has = (tool: string) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error === undefined;
const strip = `${arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu-strip`;
const missing = [strip, 'bash', 'gzip'].find((tool) => !has(tool));
const needsTools = missing === undefined ? needsBuild : { skip: `there is no ${missing}` };
const needs = (tool: string) => (has(tool) ? {} : { skip: `there is no ${tool}` });
const read = (path: string) => readFileSync(join(project, path), 'utf8');

describe('a staged package', needsTools, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'coldsnap-stage-'));
  const clone = join(scratch, 'clone');
  const trees = { deb: join(scratch, 'deb'), rpm: join(scratch, 'rpm') };
  const epoch = '1700000000';
  const environment = {
    ...process.env,
    COLDSNAP_CACHE: join(scratch, 'cache'),
    SOURCE_DATE_EPOCH: epoch,
    FAST: '1',
  };
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { encoding: 'utf8', env: environment, maxBuffer: 1e8 });
  const files = (tree: string) =>
    readdirSync(tree, { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(tree.length + 1))
      .sort();

  before(() => {
    mkdirSync(join(clone, `prebuilds/linux-${arch}`), { recursive: true });
    for (const path of [
      'packaging',
      'package.json',
      'bin',
      'dist',
      'docs',
      'node_modules',
      'LICENSE',
      'CHANGELOG.md',
    ]) {
      symlinkSync(join(project, path), join(clone, path));
    }
    symlinkSync(
      join(project, 'build/Release/coldsnap.node'),
      join(clone, `prebuilds/linux-${arch}/coldsnap.node`),
    );
    const { node, sha256 } = JSON.parse(read('packaging/versions.json'));
    const runtime = `npm:node-linux-${arch}@${node}`;
    const cached = join(scratch, 'cache', `${runtime.replace(':', '-')}-${sha256[runtime][0].slice(0, 8)}`);
    mkdirSync(join(cached, 'bin'), { recursive: true });
    cpSync(process.execPath, join(cached, 'bin/node'));
    symlinkSync(join(project, 'LICENSE'), join(cached, 'LICENSE'));
    for (const family of ['deb', 'rpm'] as const) {
      run(join(clone, 'packaging/stage'), family, arch, trees[family]);
    }
  });
  after(() => rmSync(scratch, { recursive: true }));

  const common = [
    'usr/bin/coldsnap',
    'usr/lib/coldsnap/bin/coldsnap.js',
    'usr/lib/coldsnap/bin/package.json',
    'usr/lib/coldsnap/dist/cli/main.js',
    'usr/lib/coldsnap/node',
    'usr/lib/coldsnap/package.json',
    `usr/lib/coldsnap/prebuilds/linux-${arch}/coldsnap.node`,
    'usr/lib/systemd/system/coldsnap-download@.service',
    'usr/share/bash-completion/completions/coldsnap',
    'usr/share/doc/coldsnap/download.conf',
    'usr/share/doc/coldsnap/sbom.cdx.json',
    'usr/share/fish/vendor_completions.d/coldsnap.fish',
    'usr/share/man/man1/coldsnap.1.gz',
  ];
  const own = {
    deb: [
      ...[
        'NODE-LICENSE.gz',
        'THIRD-PARTY-LICENSES.gz',
        'changelog.Debian.gz',
        'changelog.gz',
        'copyright',
      ].map((name) => `usr/share/doc/coldsnap/${name}`),
      'usr/share/lintian/overrides/coldsnap',
      'usr/share/zsh/vendor-completions/_coldsnap',
    ],
    rpm: [
      'usr/share/doc/coldsnap/CHANGELOG.md',
      ...['LICENSE', 'NODE-LICENSE', 'THIRD-PARTY-LICENSES'].map(
        (name) => `usr/share/licenses/coldsnap/${name}`,
      ),
      'usr/share/zsh/site-functions/_coldsnap',
    ],
  };
  for (const family of ['deb', 'rpm'] as const) {
    test(`holds the files of a ${family}, at their places`, () => {
      const staged = files(trees[family]).filter((path) => !/\/dist\/cli\/(chunk-\w+|io)\.js$/.test(path));
      assert.deepEqual(staged, [...common, ...own[family]].sort());
    });
  }

  test('holds files that belong to the time of the commit and that others may read', () => {
    for (const path of files(trees.deb)) {
      const { mtimeMs, mode } = statSync(join(trees.deb, path));
      assert.equal(mtimeMs, Number(epoch) * 1000, path);
      const program = path === 'usr/bin/coldsnap' || path === 'usr/lib/coldsnap/node';
      assert.equal((mode & 0o777).toString(8), program ? '755' : '644', path);
    }
  });

  test('is refused while the addon of its architecture is not built', () => {
    const other = arch === 'x64' ? 'arm64' : 'x64';
    const tree = join(scratch, 'other');
    const { status, stderr } = spawnSync(join(clone, 'packaging/stage'), ['deb', other, tree], {
      encoding: 'utf8',
    });
    assert.equal(status, 1);
    assert.match(
      stderr,
      new RegExp(`prebuilds/linux-${other}/coldsnap.node is missing; run scripts/build-prebuilds`),
    );
    assert.ok(!existsSync(tree));
  });

  test('starts the Node.js inside it, whatever NODE_OPTIONS says', () => {
    const lib = join(trees.deb, 'usr/lib/coldsnap');
    const wrapper = readFileSync(join(trees.deb, 'usr/bin/coldsnap'), 'utf8');
    const { status, stdout, stderr } = spawnSync(
      'sh',
      ['-c', wrapper.replaceAll('/usr/lib/coldsnap', lib), 'coldsnap', '--version'],
      { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', NODE_OPTIONS: '--require /nonexistent' } },
    );
    assert.deepEqual([status, stdout, stderr], [0, `${version}\n`, '']);
  });

  test('lists every bundled package and every library of Node.js in the SBOM', () => {
    interface Listed {
      name: string;
      version: string;
      components?: Listed[];
    }
    const text = readFileSync(join(trees.deb, 'usr/share/doc/coldsnap/sbom.cdx.json'), 'utf8');
    const bom: { metadata: { timestamp: string; component: Listed }; components: Listed[] } =
      JSON.parse(text);
    const named = (list: Listed[]) => list.map((item) => `${item.name} ${item.version}`);
    const licences = gunzipSync(
      readFileSync(join(trees.deb, 'usr/share/doc/coldsnap/THIRD-PARTY-LICENSES.gz')),
    ).toString();
    const licensed = [...licences.matchAll(/^={80}\n(.+)$/gm)].map(([, name]) => name!);
    assert.ok(licensed.length > 40);
    assert.deepEqual(named(bom.components.slice(0, -2)), licensed);
    const [node, addon] = bom.components.slice(-2);
    const libraries = new Map(node!.components!.map((item) => [item.name, item.version]));
    for (const name of ['v8', 'uv', 'openssl', 'zlib', 'llhttp', 'undici']) {
      assert.equal(libraries.get(name), process.versions[name], name);
    }
    assert.deepEqual(named([addon!]), [`coldsnap.node ${version}`]);
    assert.ok(addon!.components!.some(({ name }) => name === 'node-addon-api'));
    assert.equal(bom.metadata.component.version, version);
    assert.equal(bom.metadata.timestamp, '2023-11-14T22:13:20.000Z');
  });

  test('has no code of packages that never run', () => {
    const bundled: BundledPackage[] = JSON.parse(read('dist/cli/bundled.json'));
    const names = new Set(bundled.map(({ name }) => name));
    for (const name of ['@aws-sdk/credential-provider-node', '@aws-sdk/credential-provider-ini', 'bowser'])
      assert.ok(!names.has(name), name);
    assert.ok(names.has('@aws-sdk/credential-provider-http'));
  });

  test('names the copyright holders of every bundled package', () => {
    const copyright = readFileSync(join(trees.deb, 'usr/share/doc/coldsnap/copyright'), 'utf8');
    const bundled: BundledPackage[] = JSON.parse(read('dist/cli/bundled.json'));
    for (const { name, version, license, copyright: holders } of bundled) {
      assert.ok(copyright.includes(` ${name} ${version} (${license})\n`), name);
      assert.ok(copyright.includes(`\nLicense: ${license}\n`), license);
      for (const holder of holders) assert.ok(copyright.includes(` ${holder}\n`), holder);
    }
  });

  test('has a unit that systemd accepts', needs('systemd-analyze'), () => {
    const unit = readFileSync(join(trees.deb, 'usr/lib/systemd/system/coldsnap-download@.service'), 'utf8');
    const copy = join(scratch, 'coldsnap-download@.service');
    // The program must exist, and the manual is not installed here.
    run(
      'sh',
      '-c',
      'printf %s "$1" >"$2"',
      'sh',
      unit.replace('/usr/bin/coldsnap', '/bin/true').replace(/^Doc.*\n/m, ''),
      copy,
    );
    const { status, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', copy.replace('@.', '@data.')],
      {
        encoding: 'utf8',
      },
    );
    assert.deepEqual([status, stderr.split('\n').filter((line) => line.includes('coldsnap'))], [0, []]);
  });

  test('has a man page without a formatting error', needs('man'), () => {
    const page = join(trees.deb, 'usr/share/man/man1/coldsnap.1.gz');
    const { stdout, stderr } = spawnSync('man', ['--warnings', '--local-file', page], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '80' },
    });
    assert.equal(stderr, '');
    assert.ok(stdout.includes(`coldsnap ${version}`));
  });

  for (const [shell, path] of [
    ['bash', 'bash-completion/completions/coldsnap'],
    ['zsh', 'zsh/vendor-completions/_coldsnap'],
    ['fish', 'fish/vendor_completions.d/coldsnap.fish'],
  ] as const) {
    test(`has a completion script that ${shell} can read`, needs(shell), () => {
      run(shell, '-n', join(trees.deb, 'usr/share', path));
    });
  }

  test('makes a deb that needs the C and C++ libraries alone', needs('dpkg-deb'), () => {
    const deb = run(join(project, 'packaging/build-deb'), trees.deb, arch, join(scratch, 'out')).trim();
    const field = (name: string) => run('dpkg-deb', '--field', deb, name).trim();
    assert.equal(field('Package'), 'coldsnap');
    assert.equal(field('Version'), `${version}-1`);
    assert.equal(field('Architecture'), arch === 'x64' ? 'amd64' : 'arm64');
    assert.equal(field('Depends'), 'libc6 (>= 2.28), libgcc-s1 | libgcc1, libstdc++6 (>= 7)');
    const inside = run('dpkg-deb', '--contents', deb)
      .split('\n')
      .filter((line) => line.startsWith('-'))
      .map((line) => /^\S+ root\/root .* \.\/(.*)$/.exec(line)?.[1]);
    assert.deepEqual(inside.sort(), files(trees.deb));
  });

  test('makes an RPM that owns the directory of journals', needs('rpmbuild'), () => {
    const rpm = run(join(project, 'packaging/build-rpm'), trees.rpm, arch, join(scratch, 'out')).trim();
    const query = (format: string) => run('rpm', '--query', '--package', '--queryformat', format, rpm);
    assert.equal(query('%{NAME} %{VERSION} %{BUILDHOST}'), `coldsnap ${version} reproducible`);
    assert.match(
      run('rpm', '--query', '--list', '--verbose', '--package', rpm),
      /^drwx------ .* \/var\/lib\/coldsnap$/m,
    );
    assert.ok(!run('rpm', '--query', '--provides', '--package', rpm).includes('.so'));
  });
});

test('the runtime, the lockfile and the man page have one version of coldsnap and one pinned Node.js', () => {
  assert.equal(JSON.parse(read('package-lock.json')).version, version);
  assert.ok(read('docs/coldsnap.1').includes(`"coldsnap ${version}"`));
  const { node, sha256 } = JSON.parse(read('packaging/versions.json'));
  for (const name of ['x64', 'arm64']) {
    assert.match(sha256[`npm:node-linux-${name}@${node}`][0], /^[0-9a-f]{64}$/);
  }
});

test('every finding of a linter that is overridden is explained', () => {
  for (const path of ['packaging/deb/lintian-overrides', 'packaging/rpm/rpmlint.toml']) {
    const lines = read(path).split('\n');
    assert.ok(lines.length > 3, dirname(path));
    for (const [index, line] of lines.entries()) {
      // A comment explains what follows it, up to the next comment.
      if (/^(coldsnap:| +')/.test(line)) {
        assert.ok(
          lines.slice(0, index).some((before) => before.trim().startsWith('#')),
          line,
        );
      }
    }
  }
});

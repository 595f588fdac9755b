/** Disk images in other formats, compressed files and archives are distinguished from raw images. */
import { strict as assert } from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { openSource } from '../../src/image/open-source.ts';
import { forgetCache, needsLoop, Scratch } from '../support/loop.ts';
import { assertFails, MiB } from './blocks.ts';
import { containers, tarHeader, vhdFooter } from './containers.ts';

const isContainer = (name: string) => new RegExp(`is .*${name}.*, not a raw disk image`);

for (const { name, head, command } of containers) {
  test(`${name} is recognized as a file and as a stream`, async (t) => {
    const scratch = await Scratch.for(t);
    const path = scratch.path("my disk's.img");
    const bytes = Buffer.concat([head, Buffer.alloc(8192)]);
    writeFileSync(path, bytes);
    const file = await assertFails(openSource(path), 'SOURCE_IS_CONTAINER', isContainer(name));
    assert.equal(file.class, 'refused');
    assert.match(file.hint ?? '', command);
    // Quoted, so that it can be pasted.
    assert.ok(file.hint?.includes(`'${scratch.path(`my disk'\\''s.img`)}'`), file.hint);
    for (const size of [1, 100, 5000]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      const source = await openSource(Readable.from(chunks, { objectMode: false }), { streamSize: MiB });
      const stream = await assertFails(source.ready(), 'SOURCE_IS_CONTAINER', isContainer(name));
      assert.match(stream.hint ?? '', command);
      await source.close();
    }
  });

  test(`${name} is read as it is when the format is raw`, async (t) => {
    const scratch = await Scratch.for(t);
    writeFileSync(scratch.path('disk.img'), Buffer.concat([head, Buffer.alloc(8192)]));
    await (await openSource(scratch.path('disk.img'), { format: 'raw' })).close();
    const source = await openSource(Readable.from([head, Buffer.alloc(9000)], { objectMode: false }), {
      streamSize: MiB,
      format: 'raw',
    });
    await source.ready();
    await source.close();
  });
}

/** A first sector with boot code, these bytes at a place, and a partition table. */
function bootSector(at: number, bytes: Buffer): Buffer {
  const sector = Buffer.alloc(4096);
  sector.set([0xeb, 0x63, 0x90]);
  sector.set(bytes, at);
  sector.set([0x80, 0x20, 0x21, 0x00, 0x83, 0xdd, 0x1e, 0x3f, 0x00, 0x08, 0, 0, 0x00, 0x90, 0x01, 0x00], 446);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

const magics: readonly (readonly [string, number, Buffer])[] = [
  ...containers.map(({ name, head }) => [name, 0, head.subarray(0, 16)] as const),
  ['ustar', 257, Buffer.from('ustar\x0000')],
  ['VDI', 64, Buffer.from([0x7f, 0x10, 0xda, 0xbe])],
  ['conectix', 0, Buffer.from('conectix')],
  ['gzip, like boot code', 0, Buffer.from([0x1f, 0x8b, 0x08, 0])],
];

for (const [name, at, bytes] of magics) {
  test(`a disk whose boot sector has the magic bytes of ${name} at ${at} is raw`, async (t) => {
    const scratch = await Scratch.for(t);
    writeFileSync(scratch.path('disk.img'), bootSector(at, bytes));
    await (await openSource(scratch.path('disk.img'))).close();
  });
}

test('bytes that only look like a container are a raw image', async (t) => {
  const scratch = await Scratch.for(t);
  const tar = tarHeader('disk.vmdk');
  tar[0]! ^= 1; // now its checksum is wrong
  const cases: Readonly<Record<string, Buffer>> = {
    'a tar header with a wrong checksum': tar,
    'a VHD footer of another size at the end': Buffer.concat([Buffer.alloc(8192), vhdFooter(4096, 2)]),
    'a VHD footer with a wrong checksum': Buffer.concat([
      Buffer.alloc(8192),
      Buffer.from('conectix'),
      Buffer.alloc(504),
    ]),
    'the beginning of a magic': Buffer.from([0x28, 0xb5]),
    'one byte': Buffer.from([1]),
    'gzip with reserved flags': Buffer.from([0x1f, 0x8b, 8, 0xe0]),
    'an image of an ext4 file system': Buffer.concat([Buffer.alloc(1080), Buffer.from([0x53, 0xef])]),
    'a squashfs': Buffer.concat([Buffer.from('hsqs'), randomBytes(512)]),
    'random bytes': Buffer.concat([Buffer.from([0]), randomBytes(8000)]),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    writeFileSync(scratch.path('disk.img'), bytes);
    await openSource(scratch.path('disk.img')).then(
      (source) => source.close(),
      (error) => assert.fail(`${name}: ${error}`),
    );
  }
});

test('a fixed VHD is recognized by its footer', async (t) => {
  const scratch = await Scratch.for(t);
  writeFileSync(
    scratch.path('disk.vhd'),
    Buffer.concat([bootSector(0, Buffer.alloc(1)), vhdFooter(4096, 2)]),
  );
  const error = await assertFails(
    openSource(scratch.path('disk.vhd')),
    'SOURCE_IS_CONTAINER',
    isContainer('VHD'),
  );
  assert.match(error.hint ?? '', /qemu-img convert -f vpc -O raw .*disk\.vhd .*disk\.raw/);
});

test('a device that holds a container is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: MiB });
  writeFileSync(backing, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), { flag: 'r+' });
  await forgetCache(device);
  await assertFails(openSource(device), 'SOURCE_IS_CONTAINER', isContainer('qcow2'));
});

for (const program of ['gzip', 'xz', 'zstd', 'bzip2', 'lz4']) {
  const missing = spawnSync(program, ['--version']).error !== undefined;
  test(`what ${program} writes is recognized`, { skip: missing && `there is no ${program}` }, async (t) => {
    const scratch = await Scratch.for(t);
    for (const image of [randomBytes(100_000), Buffer.alloc(100_000), Buffer.from('x')]) {
      const { stdout } = spawnSync(program, ['-c'], { input: image });
      writeFileSync(scratch.path('image'), stdout);
      await assertFails(openSource(scratch.path('image')), 'SOURCE_IS_CONTAINER', isContainer(program));
    }
  });
}

test('what tar writes is recognized', async (t) => {
  const scratch = await Scratch.for(t);
  writeFileSync(scratch.path('disk.img'), randomBytes(5000));
  for (const format of ['gnu', 'pax', 'ustar']) {
    execFileSync('tar', [
      `--format=${format}`,
      '-cf',
      scratch.path('archive'),
      '-C',
      scratch.directory,
      'disk.img',
    ]);
    await assertFails(openSource(scratch.path('archive')), 'SOURCE_IS_CONTAINER', isContainer('tar'));
  }
});

test('no byte of a stream is lost by looking at its beginning', async () => {
  const image = randomBytes(5000);
  image[0] = 0;
  for (const size of [1, 7, 511, 512, 513, 5000]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < image.length; at += size) chunks.push(image.subarray(at, at + size));
    const source = await openSource(Readable.from(chunks, { objectMode: false }), { streamSize: 8192 });
    await source.ready();
    const data = new Uint8Array(8192);
    const [block] = await source.readBlocks([{ data, offset: 0 }]);
    assert.equal(block?.bytesRead, 5000);
    assert.ok(image.equals(data.subarray(0, 5000)));
    await source.checkUnchanged();
    await source.close();
  }
});

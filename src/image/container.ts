/**
 * Tells other formats from raw disk images, by the bytes at their beginning: their bytes would become the volume, and it would
 * not boot. Only what cannot be a disk counts; a boot sector may contain any bytes where its code is.
 */
import { basename, dirname, extname, join } from 'node:path';

/** As much of a source as decides, unless a VHD has only a footer. */
export const headLength = 512;

export interface Container {
  /** Completes "disk.img is …". */
  readonly description: string;
  /** The remedy, in one sentence with a command. */
  hint(path: string | undefined): string;
}

interface Format extends Container {
  matches(head: Buffer): boolean;
}

/** The source's container format, if it has one. */
export function findContainer(head: Uint8Array): Container | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.length);
  return isBootSector(bytes) ? undefined : formats.find(({ matches }) => matches(bytes));
}

/** A fixed VHD is a raw image with a footer behind it. @param sizeBytes of the file with its footer */
export function isFixedVhd(footer: Uint8Array, sizeBytes: number): boolean {
  const bytes = Buffer.from(footer.buffer, footer.byteOffset, footer.length);
  return isVhdFooter(bytes, [2]) && bytes.readBigUInt64BE(48) === BigInt(sizeBytes - bytes.length);
}

export const fixedVhd: Container = diskImage('VHD', 'vpc', () => true);

const formats: readonly Format[] = [
  diskImage('qcow2', 'qcow2', startsWith('QFI\xfb')),
  diskImage('QED', 'qed', startsWith('QED\0')),
  diskImage('VMDK', 'vmdk', startsWith('KDMV', 'COWD', '# Disk DescriptorFile')),
  diskImage('VHDX', 'vhdx', startsWith('vhdxfile')),
  diskImage('VHD', 'vpc', (head) => isVhdFooter(head, [2, 3, 4])),
  diskImage(
    'VDI',
    'vdi',
    (head) => startsWith('<<<')(head) && head.subarray(64, 68).equals(Buffer.from('7f10dabe', 'hex')),
  ),
  {
    description: 'an Android sparse image',
    matches: startsWith('\x3a\xff\x26\xed\x01\0'),
    hint: (path) => `Convert it first: simg2img ${quote(path ?? 'FILE')} ${quote(rawName(path))}`,
  },
  compressed('gzip', 'gzip -dc', (head) => startsWith('\x1f\x8b\x08')(head) && (head[3] ?? 0xff) < 0x20),
  compressed('xz', 'xz -dc', startsWith('\xfd7zXZ\0')),
  compressed('zstd', 'zstd -dc', (head) => isZstd(head)),
  compressed('bzip2', 'bzip2 -dc', (head) =>
    /^425a683[1-9](314159265359|177245385090)/.test(head.toString('hex', 0, 10)),
  ),
  compressed('lz4', 'lz4 -dc', startsWith('\x04\x22\x4d\x18')),
  archive('a zip archive', 'unzip', startsWith('PK\x03\x04')),
  archive('a 7z archive', '7z x', startsWith('7z\xbc\xaf\x27\x1c')),
  archive('a tar archive, such as an OVA', 'tar -xf', isTar),
];

function startsWith(...magics: readonly string[]): (head: Buffer) => boolean {
  const all = magics.map((magic) => Buffer.from(magic, 'latin1'));
  return (head) => all.some((magic) => head.subarray(0, magic.length).equals(magic));
}

function diskImage(name: string, qemuName: string, matches: Format['matches']): Format {
  const hint = (path: string | undefined) =>
    `Convert it first: qemu-img convert -f ${qemuName} -O raw ${quote(path ?? 'FILE')} ${quote(rawName(path))}`;
  return { description: `a ${name} image`, matches, hint };
}

function compressed(name: string, command: string, matches: Format['matches']): Format {
  const hint = (path: string | undefined) => {
    const reader = path === undefined ? command : `${command} ${quote(path)}`;
    return `Decompress it on the way: ${reader} | coldsnap upload -`;
  };
  return { description: `compressed with ${name}`, matches, hint };
}

function archive(description: string, command: string, matches: Format['matches']): Format {
  const hint = (path: string | undefined) =>
    `Extract the disk image first: ${command} ${quote(path ?? 'FILE')}`;
  return { description, matches, hint };
}

/** The end of a boot sector, with a partition table that has an entry. */
function isBootSector(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16BE(510) !== 0x55aa) return false;
  const entries = [446, 462, 478, 494].map((at) => ({ status: head[at]!, type: head[at + 4]! }));
  return (
    entries.every(({ status }) => status === 0 || status === 0x80) && entries.some(({ type }) => type !== 0)
  );
}

/** Footers of VHDs carry a checksum. Types: 2 fixed, 3 dynamic, 4 differencing. */
function isVhdFooter(bytes: Buffer, types: readonly number[]): boolean {
  if (bytes.length < 512 || bytes.toString('latin1', 0, 8) !== 'conectix') return false;
  const sum = bytes
    .subarray(0, 512)
    .reduce((total, byte, at) => (at >= 64 && at < 68 ? total : total + byte), 0);
  return bytes.readUInt32BE(64) === ~sum >>> 0 && types.includes(bytes.readUInt32BE(60));
}

/** A frame, or the skippable frame with which pzstd begins. */
function isZstd(head: Buffer): boolean {
  const frame = startsWith('\x28\xb5\x2f\xfd');
  const skippable = head.length >= 12 && (head.readUInt32LE(0) & 0xfffffff0) === 0x184d2a50;
  return frame(head) || (skippable && frame(head.subarray(8 + head.readUInt32LE(4))));
}

/** A header of tar has a checksum, with spaces in its own place. */
function isTar(head: Buffer): boolean {
  if (head.length < 512 || head.toString('latin1', 257, 262) !== 'ustar') return false;
  const sum = head
    .subarray(0, 512)
    .reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return Number.parseInt(head.toString('latin1', 148, 156).trim(), 8) === sum;
}

/** The name for the converted image. */
function rawName(path: string | undefined): string {
  if (path === undefined || path.startsWith('/dev/')) return 'disk.raw';
  const name = basename(path, extname(path));
  return join(dirname(path), `${name}.raw`) === path ? `${path}.raw` : join(dirname(path), `${name}.raw`);
}

/** As a shell reads it. */
function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

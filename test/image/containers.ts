/** The beginnings of files in container formats, as their programs write them. */
import { Buffer } from 'node:buffer';

export interface ContainerExample {
  readonly name: string;
  /** At least one sector. */
  readonly head: Buffer;
  /** The hint must match this. */
  readonly command: RegExp;
}

const starts = (...bytes: (string | number[])[]): Buffer =>
  Buffer.concat([
    ...bytes.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
    Buffer.alloc(512, 0x41),
  ]);

/** A header of a file of 0 bytes in a tar archive. */
export function tarHeader(name: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\x000000000\x000000000\x0000000000000\x0014717273646\x00        0', 100);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\x00 `, 148);
  return header;
}

/** The footer of a VHD; its type is 2 for fixed and 3 for dynamic. */
export function vhdFooter(currentSize: number, type: number): Buffer {
  const footer = Buffer.alloc(512);
  footer.write('conectix', 0);
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x00010000, 12);
  footer.writeBigUInt64BE(BigInt(currentSize), 40);
  footer.writeBigUInt64BE(BigInt(currentSize), 48);
  footer.writeUInt32BE(type, 60);
  const sum = footer.reduce((total, byte) => total + byte, 0);
  footer.writeUInt32BE(~sum >>> 0, 64);
  return footer;
}

function vdi(): Buffer {
  const head = Buffer.alloc(512);
  head.write('<<< Oracle VM VirtualBox Disk Image >>>\n', 0);
  head.writeUInt32LE(0xbeda107f, 64);
  head.writeUInt32LE(0x00010001, 68);
  return head;
}

const qemu = (format: string) => new RegExp(`qemu-img convert -f ${format} -O raw `);
const pipe = (program: string) => new RegExp(`${program} .*\\| coldsnap upload -`);

export const containers: readonly ContainerExample[] = [
  { name: 'qcow2', head: starts('QFI\xfb', [0, 0, 0, 3]), command: qemu('qcow2') },
  { name: 'QED', head: starts('QED\0'), command: qemu('qed') },
  { name: 'VMDK', head: starts('KDMV', [1, 0, 0, 0]), command: qemu('vmdk') },
  { name: 'VMDK', head: starts('COWD', [1, 0, 0, 0]), command: qemu('vmdk') },
  { name: 'VMDK', head: starts('# Disk DescriptorFile\nversion=1\n'), command: qemu('vmdk') },
  { name: 'VHD', head: vhdFooter(2 ** 30, 3), command: qemu('vpc') },
  { name: 'VHDX', head: starts('vhdxfile'), command: qemu('vhdx') },
  { name: 'VDI', head: vdi(), command: qemu('vdi') },
  {
    name: 'Android sparse',
    head: starts([0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0, 28, 0, 12, 0]),
    command: /simg2img .* .*\.raw/,
  },
  { name: 'gzip', head: starts([0x1f, 0x8b, 8, 8]), command: pipe('gzip -dc') },
  { name: 'xz', head: starts([0xfd], '7zXZ', [0]), command: pipe('xz -dc') },
  { name: 'zstd', head: starts([0x28, 0xb5, 0x2f, 0xfd]), command: pipe('zstd -dc') },
  // As pzstd writes it.
  {
    name: 'zstd',
    head: starts([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd]),
    command: pipe('zstd -dc'),
  },
  { name: 'bzip2', head: starts('BZh9', [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]), command: pipe('bzip2 -dc') },
  { name: 'lz4', head: starts([0x04, 0x22, 0x4d, 0x18]), command: pipe('lz4 -dc') },
  { name: 'zip', head: starts('PK', [3, 4, 20, 0]), command: /unzip / },
  { name: '7z', head: starts('7z', [0xbc, 0xaf, 0x27, 0x1c]), command: /7z x / },
  { name: 'tar', head: tarHeader('disk.ovf'), command: /tar -xf / },
];

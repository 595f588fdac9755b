/** Refuses a file or device that is not a raw image. */
import { allocateSlab, readBlocks } from '../native/index.ts';
import { findContainer, fixedVhd, headLength, isFixedVhd } from './container.ts';
import { type Descriptor, directAlignment } from './descriptor.ts';
import { type OpenDevice, readDevice } from './device-reader.ts';
import { sourceIsContainer } from './messages/sources.ts';

/** @throws ColdsnapError `SOURCE_IS_CONTAINER` */
export async function refuseContainer(
  descriptor: Descriptor,
  device: OpenDevice | undefined,
  sizeBytes: number,
): Promise<void> {
  const { path } = descriptor;
  const named = { path, label: path };
  const read = async (offset: number) => {
    const data = new Uint8Array(allocateSlab(directAlignment));
    if (device) await readDevice(device, [{ data, offset }]);
    else await descriptor.use(`read ${path}`, (fd) => readBlocks(fd, [{ data, offset }], { hash: false }));
    return data.subarray(0, Math.min(headLength, sizeBytes - offset));
  };
  const container = findContainer(await read(0));
  if (container !== undefined) throw sourceIsContainer(named, container, path);
  const footer = sizeBytes - headLength;
  // A whole device is never a fixed VHD: its footer would be the device's last sector.
  if (device || footer < headLength || sizeBytes % headLength !== 0) return;
  if (isFixedVhd(await read(footer), sizeBytes)) throw sourceIsContainer(named, fixedVhd, path);
}

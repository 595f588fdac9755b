import { addon, settled } from './addon.ts';
import { checkArray, checkData } from './validate.ts';

/** SHA-256 of each buffer, several at once, off the main thread. Lengths may differ; equal ones are fastest. */
export async function sha256(buffers: readonly Uint8Array[]): Promise<Uint8Array[]> {
  checkArray('buffers', buffers);
  const own = [...buffers];
  for (const [i, buffer] of own.entries()) checkData(`buffers[${i}]`, buffer);
  // The buffers become the arguments of one call, so there must not be any number of them.
  const calls: Promise<Uint8Array[]>[] = [];
  for (let i = 0; i < own.length; i += 1024) calls.push(settled(addon().sha256(...own.slice(i, i + 1024))));
  return (await Promise.all(calls)).flat();
}

/**
 * The SHA-256 kernel in use (chosen when the addon loads), those of this machine that passed the self-test, and how many
 * buffers of equal length the active one hashes fastest in one call.
 */
export function sha256Kernels(): { active: string; available: string[]; lanes: number } {
  return addon().sha256Kernels();
}

/** For tests: makes all threads use this one of `sha256Kernels().available`. @throws RangeError when it is not there */
export function useKernel(name: string): void {
  if (typeof name !== 'string') throw new TypeError('the name of a kernel must be a string');
  if (!addon().useKernel(name)) throw new RangeError(`no SHA-256 kernel ${name} here`);
}

// An exported state: magic with a version, the state as C++ has it (8 words, the length in 8 bytes, 64 bytes of tail),
// and 8 bytes of SHA-256 over all that.
const magic = new TextEncoder().encode('csha256\x01');
const stateLength = 32 + 8 + 64;
const checkLength = 8;
const exportLength = magic.length + stateLength + checkLength;

/**
 * A SHA-256 that can be saved and resumed, also in another process. Works on the calling thread, so
 * give it small data.
 */
export class Sha256State {
  readonly #state: Uint8Array;

  constructor() {
    this.#state = addon().sha256New();
  }

  update(data: Uint8Array): this {
    checkData('data', data);
    addon().sha256Update(this.#state, data);
    return this;
  }

  /** The digest (32 bytes) of the data so far. More may follow. */
  digest(): Uint8Array {
    return addon().sha256Digest(this.#state);
  }

  /** The state as 120 bytes, for `Sha256State.import`. */
  export(): Uint8Array {
    const bytes = new Uint8Array(exportLength);
    bytes.set(magic);
    bytes.set(this.#state, magic.length);
    bytes.set(checkOf(bytes), magic.length + stateLength);
    return bytes;
  }

  /** @throws RangeError when the bytes are not an exported state, or a damaged one */
  static import(bytes: Uint8Array): Sha256State {
    checkData('bytes', bytes);
    if (bytes.length !== exportLength) {
      throw new RangeError(`a SHA-256 state has ${exportLength} bytes, not ${bytes.length}`);
    }
    if (!magic.every((byte, i) => byte === bytes[i]))
      throw new RangeError('not a SHA-256 state of a known version');
    const end = magic.length + stateLength;
    if (!checkOf(bytes).every((byte, i) => byte === bytes[end + i]))
      throw new RangeError('the SHA-256 state is damaged');
    const state = new Sha256State();
    state.#state.set(bytes.subarray(magic.length, end));
    return state;
  }
}

/** The first bytes of the SHA-256 over magic and state. */
function checkOf(bytes: Uint8Array): Uint8Array {
  const state = addon().sha256New();
  addon().sha256Update(state, bytes.subarray(0, magic.length + stateLength));
  return addon().sha256Digest(state).subarray(0, checkLength);
}

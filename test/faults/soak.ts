/**
 * Transfers in one process under continuous faults, against an emulator in another process. Each round uploads an image
 * and downloads its snapshot, interrupts and resumes some of them, with another writer in between, compares every byte, and
 * then samples memory and descriptors, which must not grow.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  type ColdsnapError,
  downloadSnapshot,
  type TransferOptions,
  uploadSnapshot,
} from '../../src/index.ts';
import { compileProgram } from '../support/compile.ts';
import { emptyDevice, type LoopDevice, noLoopDevices, type Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB } from '../support/service.ts';

const BLOCK = 65_536;
/** The largest image; sizes vary, and with them tails and gaps. */
const MOST_BLOCKS = 96;

/** The process's resources after a round and a garbage collection. */
export interface Sample {
  readonly round: number;
  readonly seconds: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** Memory outside the heap, such as buffers. */
  readonly externalBytes: number;
  readonly descriptors: number;
}

export function formatSample({
  round,
  seconds,
  rssBytes,
  heapBytes,
  externalBytes,
  descriptors,
}: Sample): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const memory = `resident ${mib(rssBytes)}, heap ${mib(heapBytes)}, external ${mib(externalBytes)}`;
  return `${Math.round(seconds)} s, round ${round}: ${memory}, ${descriptors} descriptors`;
}

/** The growth allowed from the second quarter of a run to the last. */
const tolerated = {
  rssBytes: 24 * 2 ** 20,
  heapBytes: 4 * 2 ** 20,
  externalBytes: 4 * 2 ** 20,
  descriptors: 2,
};

const everything = Object.keys(tolerated) as (keyof typeof tolerated)[];

/** @throws AssertionError when the resources have grown */
export function assertFlat(samples: readonly Sample[], names = everything): void {
  const quarter = samples.length / 4;
  const median = (from: number, to: number, name: keyof typeof tolerated) => {
    const values = samples.slice(Math.floor(from), Math.ceil(to)).map((sample) => sample[name]);
    return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
  };
  for (const name of names) {
    const early = median(quarter, 2 * quarter, name);
    const late = median(3 * quarter, 4 * quarter, name);
    assert.ok(late - early <= tolerated[name], `${name} grew from ${early} to ${late}`);
  }
}

export interface Soak {
  readonly samples: readonly Sample[];
  readonly bytesMoved: number;
  readonly interruptions: number;
  readonly retries: number;
}

/** The emulator, in its own process, so that its memory is not sampled. */
class Service {
  readonly url: string;
  readonly #process: ReturnType<typeof fork>;

  private constructor(url: string, process: ReturnType<typeof fork>) {
    this.url = url;
    this.#process = process;
  }

  static async start(): Promise<Service> {
    const file = fileURLToPath(new URL('soak-service.ts', import.meta.url));
    const child = fork(await compileProgram({ file }), [String(BLOCK)]);
    const [url] = (await once(child, 'message')) as [string];
    return new Service(url, child);
  }

  /** Deletes a snapshot to keep the disk from filling up. */
  delete(snapshotId: string): void {
    this.#process.send(snapshotId);
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill();
    await exited;
  }
}

/**
 * Runs rounds until the time is up.
 * @param scratch for images and, where available, a loop device
 * @param onSample called after every round
 * @throws AssertionError when a byte is wrong
 */
export async function soak(
  scratch: Scratch,
  options: {
    readonly milliseconds: number;
    readonly minRounds?: number;
    readonly onSample?: (sample: Sample) => void;
  },
): Promise<Soak> {
  process.env.STATE_DIRECTORY = scratch.path('state');
  const service = await Service.start();
  try {
    const device = noLoopDevices === undefined ? await scratch.loop({ bytes: GIB }) : undefined;
    const rounds = new Rounds(scratch, service, device);
    const started = performance.now();
    const elapsed = () => performance.now() - started;
    const samples: Sample[] = [];
    while (elapsed() < options.milliseconds || samples.length < (options.minRounds ?? 1)) {
      await rounds.next();
      const sample = takeSample(samples.length + 1, elapsed() / 1000);
      samples.push(sample);
      options.onSample?.(sample);
    }
    return { samples, ...rounds.totals };
  } finally {
    await service.stop();
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function takeSample(round: number, seconds: number): Sample {
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const descriptors = readdirSync('/proc/self/fd').length;
  return { round, seconds, rssBytes: rss, heapBytes: heapUsed, externalBytes: external, descriptors };
}

class Rounds {
  readonly totals = { bytesMoved: 0, interruptions: 0, retries: 0 };
  readonly #scratch: Scratch;
  readonly #service: Service;
  readonly #device: LoopDevice | undefined;
  readonly #snapshots: string[] = [];
  #count = 0;

  constructor(scratch: Scratch, service: Service, device: LoopDevice | undefined) {
    this.#scratch = scratch;
    this.#service = service;
    this.#device = device;
  }

  async next(): Promise<void> {
    const round = this.#count++;
    const source = this.#scratch.path(`source-${round}.img`);
    const blocks = writeImage(source);
    const transport = round % 3 === 2 ? ('sdk' as const) : ('fast' as const);
    const writeSource = () => {
      const [block, data] = [...blocks][randomInt(blocks.size)] as [number, Buffer];
      randomBytes(4_096).copy(data);
      overwrite(source, data.subarray(0, 4_096), block * BLOCK);
    };
    const { snapshotId } = await this.#finish(
      (more) => uploadSnapshot({ source, transport, ...more }),
      writeSource,
    );
    const device = round % 2 === 1 ? this.#device : undefined;
    if (device !== undefined) await emptyDevice(device);
    const target = device?.device ?? this.#scratch.path(`target-${round}.img`);
    const written = device?.device ?? `${target}.partial`;
    let force = false;
    const writeTarget = () => {
      if (!existsSync(written)) return;
      overwrite(written, randomBytes(4_096), 4_096 * randomInt(GIB / 4_096));
      // The start of a disk may have been written, which only the user can allow to overwrite.
      force = device !== undefined;
    };
    await this.#finish(
      (more) => downloadSnapshot({ snapshotId, target, transport, force, ...more }),
      writeTarget,
    );
    const image = device?.backing ?? target;
    assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined, `round ${round}`);
    // Those of uploads that started over, too.
    for (const started of this.#snapshots.splice(0)) this.#service.delete(started);
    rmSync(source);
    if (device === undefined) rmSync(target);
    const remaining = readdirSync(this.#scratch.directory).filter((name) => /^(source|target)-/.test(name));
    assert.deepEqual(remaining, [], 'files remain');
  }

  /**
   * Calls a transfer until it succeeds; the first calls are aborted at random. Any other failure is thrown.
   * @param meddle writes to the source or target as another program would, after some of the aborts
   */
  async #finish<Result>(
    transfer: (options: TransferOptions & { checkpointIntervalMs: number }) => Promise<Result>,
    meddle: () => void,
  ): Promise<Result> {
    for (let tries = 0; ; tries++) {
      assert.ok(tries < 50, 'no success in 50 attempts');
      const controller = new AbortController();
      const abortTimer = tries < 2 ? setTimeout(() => controller.abort(), randomInt(1_000)) : undefined;
      try {
        return await transfer({
          endpoint: this.#service.url,
          region: 'us-east-1',
          workers: 16,
          // Only the stalls of the service may run into a deadline, and no run into its limit.
          retryForMs: 600_000,
          deadlines: { connectMs: 60_000, idleMs: 2_000 },
          checkpointIntervalMs: 20,
          signal: controller.signal,
          onEvent: (event) => {
            if (event.type === 'retry') this.totals.retries++;
            if (event.type === 'snapshot') this.#snapshots.push(event.snapshotId);
            if (event.type === 'done') this.totals.bytesMoved += event.bytesTransferred;
          },
        });
      } catch (error) {
        if ((error as ColdsnapError).class !== 'aborted') throw error;
        this.totals.interruptions++;
        if (randomInt(3) === 0) meddle();
      } finally {
        clearTimeout(abortTimer);
      }
    }
  }
}

function overwrite(path: string, data: Uint8Array, offset: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, data, 0, data.length, offset);
  fsyncSync(file);
  closeSync(file);
}

/** Writes an image with gaps. @returns the expected blocks of its volume */
function writeImage(path: string): Map<number, Buffer> {
  const count = 1 + randomInt(MOST_BLOCKS);
  const image = randomBytes(count * BLOCK);
  for (let block = 0; block < count; block++) {
    if (randomInt(4) === 0) image.fill(0, block * BLOCK, (block + 1) * BLOCK);
  }
  const length = image.length - randomInt(BLOCK);
  image.fill(0, length);
  writeFileSync(path, image.subarray(0, length));
  return new Map(
    Array.from({ length: count }, (_, block) => [block, image.subarray(block * BLOCK, (block + 1) * BLOCK)]),
  );
}

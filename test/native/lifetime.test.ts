/** Memory and threads: buffers stay alive while work is under way, slabs are given back, threads may end at any time. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { bundle, noLoopDevices, runScript, withLoop } from './support.ts';

let directory: string;
let native: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'coldsnap-lifetime-'));
  native = bundle(directory);
});
after(() => rmSync(directory, { recursive: true, force: true }));

test('buffers that only the addon still holds outlive a collection until their promise settles', () => {
  const expected = createHash('sha256').update(new Uint8Array(524_288).fill(42)).digest('hex');
  const { stdout, stderr, status } = runScript(
    native,
    `
    const path = ${JSON.stringify(join(directory, 'file'))};
    const fd = fs.openSync(path, 'w+');
    const digest = Buffer.from('${expected}', 'hex');
    const fresh = () => new Uint8Array(native.allocateSlab(524288)).fill(42);
    const pending = [];
    for (let i = 0; i < 40; i++) {
      pending.push(native.sha256([fresh()]).then(([hash]) => Buffer.compare(hash, digest)));
      const blocks = [{ data: fresh(), offset: i * 524288, digest: digest.subarray() }];
      pending.push(native.writeBlocks(fd, blocks, { zero: 'skip', zeroMethod: 'write' }).then(({ outcomes }) => (outcomes[0] === 'written' ? 0 : 1)));
      blocks[0].data = undefined; // what the caller does with its own array is its own affair
      blocks.length = 0;
    }
    for (let i = 0; i < 20; i++) {
      gc();
      await new Promise(setImmediate); // lets finalizers run
      new Uint8Array(native.allocateSlab(524288)).fill(13); // takes the place of what was freed
    }
    const wrong = (await Promise.all(pending)).filter((result) => result !== 0).length;
    console.log(wrong, fs.statSync(path).size === 40 * 524288);
    fs.closeSync(fd);
    `,
    { args: ['--expose-gc'] },
  );
  assert.equal(stdout, '0 true\n', stderr);
  assert.equal(status, 0);
});

test('unreferenced slabs are freed', () => {
  const { stdout, stderr } = runScript(
    native,
    `
    const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);
    new Uint8Array(native.allocateSlab(48 << 20)).fill(1);
    const sizes = [];
    for (let i = 0; i < 10; i++) {
      new Uint8Array(native.allocateSlab(48 << 20)).fill(1);
      gc();
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      sizes.push(resident());
    }
    console.log(sizes.at(-1) < 256 << 10 ? 'given back' : sizes.join(' '));
    `,
    { args: ['--expose-gc'] },
  );
  assert.equal(stdout, 'given back\n', stderr);
});

test('results do not pile up: the process stays as small after 10,000 batches as after 2,000', () => {
  const { stdout, stderr } = runScript(
    native,
    `
    const { createHash } = await import('node:crypto');
    const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);
    const fd = fs.openSync(${JSON.stringify(join(directory, 'small'))}, 'w+');
    const data = new Uint8Array(512).fill(3);
    const digest = createHash('sha256').update(data).digest();
    const blocks = Array.from({ length: 4 }, (_, i) => ({ data, offset: i * 512, digest }));
    const rounds = async (n) => {
      for (let i = 0; i < n; i++) {
        await native.writeBlocks(fd, blocks, { zero: 'skip', zeroMethod: 'write' });
        await native.readBlocks(fd, blocks, { hash: true });
        await native.compareBlocks(fd, blocks, new Uint8Array(4096));
        await native.zeroRange(-1 + 1000000, 0, 10, 'write').catch(() => {});
      }
      gc();
    };
    await rounds(2000);
    const before = resident();
    await rounds(8000);
    const growth = resident() - before;
    console.log(growth < 16 << 10 ? 'flat' : 'grew by ' + growth + ' KiB');
    `,
    { args: ['--expose-gc'] },
  );
  assert.equal(stdout, 'flat\n', stderr);
});

test('a worker thread uses the addon beside the main thread, and may be terminated with work in flight', () => {
  const { stdout, stderr, status } = runScript(
    native,
    `
    import { Worker, isMainThread } from 'node:worker_threads';
    import { once } from 'node:events';
    const text = \`
      import * as native from ${JSON.stringify(String(pathToFileURL(native)))};
      import { parentPort } from 'node:worker_threads';
      const slab = new Uint8Array(native.allocateSlab(16 << 20)).fill(1);
      const work = Array.from({ length: 8 }, () => native.sha256([slab]));
      parentPort.postMessage('busy');
      await Promise.all(work);
      parentPort.postMessage('done');
    \`;
    const url = new URL('data:text/javascript,' + encodeURIComponent(text));
    for (let i = 0; i < 4; i++) {
      const worker = new Worker(url);
      await once(worker, 'message');
      const own = native.sha256([new Uint8Array(1 << 20)]);
      await worker.terminate();
      console.log(Buffer.from((await own)[0]).toString('hex').slice(0, 8));
    }
    const worker = new Worker(url);
    const [busy] = await once(worker, 'message');
    const [done] = await once(worker, 'message');
    console.log(busy, done);
    `,
    { env: { UV_THREADPOOL_SIZE: '2' } },
  );
  assert.equal(stdout, `${'30e14955\n'.repeat(4)}busy done\n`, stderr);
  assert.equal(status, 0);
});

test('a worker thread may be terminated at any instant, whatever it is calling', () => {
  const { stdout, stderr, status } = runScript(
    native,
    `
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    const path = ${JSON.stringify(join(directory, 'busy'))};
    fs.writeFileSync(path, Buffer.alloc(65536, 5));
    const text = \`
      import * as native from ${JSON.stringify(String(pathToFileURL(native)))};
      import fs from 'node:fs';
      import { parentPort } from 'node:worker_threads';
      const fd = fs.openSync('\${path}', 'r+');
      const blocks = Array.from({ length: 16 }, (_, i) => ({ data: new Uint8Array(4096), offset: i * 4096, digest: new Uint8Array(32) }));
      const expect = { dev: 0n, ino: 0n, rdev: 0n };
      const repeat = async (call) => { for (;;) { try { await call(); } catch {} } };
      for (let i = 0; i < 4; i++) {
        repeat(() => native.readBlocks(fd, blocks, { hash: true }));
        repeat(() => native.writeBlocks(fd, blocks, { zero: 'skip', zeroMethod: 'write' }));
        repeat(() => native.compareBlocks(fd, blocks, new Uint8Array(4096)));
        repeat(() => native.sha256(blocks.map(({ data }) => data)));
        repeat(() => native.deviceInfo(fd));
        repeat(() => native.nextExtent(fd, 0));
        repeat(() => native.openExclusive('/dev/null', expect));
        repeat(async () => {
          native.allocateSlab(4096);
          new native.Sha256State().update(blocks[0].data).digest();
          await native.syncData(fd);
        });
      }
      parentPort.postMessage('busy');
    \`;
    const url = new URL('data:text/javascript,' + encodeURIComponent(text));
    for (let i = 0; i < 12; i++) {
      const workers = [new Worker(url), new Worker(url)];
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      // Some calls in between, so that the end does not always find the same one.
      for (let k = 0; k < i * 20; k++) await native.sha256([new Uint8Array(64)]);
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
    console.log('alive');
    `,
    { env: { UV_THREADPOOL_SIZE: '4' } },
  );
  assert.equal(stdout, 'alive\n', stderr);
  assert.equal(status, 0);
});

test('a device that a worker thread has claimed is free when the thread ends, whether it closed it or not', {
  skip: noLoopDevices,
}, async () => {
  await withLoop(1 << 20, async (device) => {
    const { stdout, stderr, status } = runScript(
      native,
      `
      import { Worker } from 'node:worker_threads';
      import { once } from 'node:events';
      const claim = (then) => \`
        import * as native from ${JSON.stringify(String(pathToFileURL(native)))};
        import fs from 'node:fs';
        import { parentPort } from 'node:worker_threads';
        const { dev, ino, rdev } = fs.statSync('${device}', { bigint: true });
        const fd = await native.openExclusive('${device}', { dev, ino, rdev });
        \${then}
      \`;
      const run = (text) => new Worker(new URL('data:text/javascript,' + encodeURIComponent(text)));
      await once(run(claim('fs.closeSync(fd);')), 'exit');
      const worker = run(claim("setInterval(() => {}, 1000); parentPort.postMessage('claimed');"));
      await once(worker, 'message');
      await worker.terminate();
      const again = fs.openSync('${device}', fs.constants.O_RDWR | fs.constants.O_EXCL);
      console.log('free');
      `,
    );
    // No warning either: Node warns of a descriptor that is closed but was not opened by it.
    assert.deepEqual([stdout, stderr, status], ['free\n', '', 0]);
  });
});

test('a process may exit with work in flight', () => {
  const { status, stderr } = runScript(
    native,
    `
    const slab = new Uint8Array(native.allocateSlab(64 << 20)).fill(1);
    for (let i = 0; i < 8; i++) void native.sha256([slab]);
    process.exit(7);
    `,
    { env: { UV_THREADPOOL_SIZE: '4' } },
  );
  assert.equal(status, 7, stderr);
});

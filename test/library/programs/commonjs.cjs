// CommonJS programs can require the package, and get the same module as import
const assert = require('node:assert/strict');
const { openSync, readSync, writeFileSync } = require('node:fs');
const coldsnap = require('coldsnap');
const { startEmulator } = require('coldsnap/emulator');
const { version } = require('coldsnap/package.json');

async function main() {
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.equal((await import('coldsnap')).ColdsnapError, coldsnap.ColdsnapError);
  const emulator = await startEmulator();
  writeFileSync('commonjs.img', 'an image');
  const service = { endpoint: emulator.url };
  const { snapshotId } = await coldsnap.uploadSnapshot({ ...service, source: 'commonjs.img' });
  await coldsnap.downloadSnapshot({ ...service, snapshotId, target: 'commonjs-copy.img' });
  const copy = Buffer.alloc(8);
  readSync(openSync('commonjs-copy.img'), copy);
  assert.equal(copy.toString(), 'an image');
  await assert.rejects(coldsnap.downloadSnapshot({ snapshotId: 'x', target: 'y' }), coldsnap.ColdsnapError);
  await emulator.close();
}

void main();

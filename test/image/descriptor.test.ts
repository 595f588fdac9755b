import { strict as assert } from 'node:assert';
import { constants } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Descriptor } from '../../src/image/descriptor.ts';
import { Scratch } from '../support/loop.ts';
import { assertFails } from './blocks.ts';

test('a descriptor is closed only when no call on it is in flight', async (t) => {
  const scratch = await Scratch.for(t);
  await writeFile(scratch.path('file'), 'x');
  const descriptor = await Descriptor.open(scratch.path('file'), constants.O_RDONLY);
  const order: string[] = [];
  let finish = () => {};
  const using = descriptor.use('wait', async () => {
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    order.push('used');
  });
  const closing = descriptor.close().then(() => order.push('closed'));
  await assertFails(
    descriptor.use('start over', async () => {}),
    'CLOSED',
  );
  finish();
  await Promise.all([using, closing, descriptor.close()]);
  assert.deepEqual(order, ['used', 'closed']);
});

test('a failed system call names what failed and its errno', async (t) => {
  const scratch = await Scratch.for(t);
  await writeFile(scratch.path('file'), 'x');
  const descriptor = await Descriptor.open(scratch.path('file'), constants.O_RDONLY);
  t.after(() => descriptor.close());
  const failing = (facts: object) =>
    descriptor.use('do it', async () => {
      throw Object.assign(new Error('raw'), facts);
    });
  await assertFails(failing({ code: 'EIO', errno: -5 }), 'EIO', /^could not do it: input\/output error$/);
  await assertFails(failing({ code: 'EIO', errno: -5, offset: 7 }), 'EIO', /^could not do it at offset 7: /);
  // Errnos that Node or the addon have no name for.
  await assertFails(failing({ code: 'E123', errno: -123 }), 'ENOMEDIUM', /no medium in the device/);
  await assertFails(failing({ code: 'Unknown system error -122', errno: -122 }), 'EDQUOT', /quota exceeded/);
  await assert.rejects(failing({ code: 'ERR_OUT_OF_RANGE' }), { message: 'raw' });
});

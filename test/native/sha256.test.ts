import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { promisedKernels } from '../../scripts/check-kernels.ts';
import { Sha256State, sha256, sha256Kernels, useKernel } from '../../src/native/sha256.ts';
import { digestOf, noise } from './support.ts';

const { active, available } = sha256Kernels();
after(() => useKernel(active));

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const ascii = (text: string) => new TextEncoder().encode(text);

/** FIPS 180-4 examples, and NIST's additional vectors. */
const vectors: [string, Uint8Array, string][] = [
  ['the empty message', ascii(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['"abc"', ascii('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    'the 448-bit message',
    ascii('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'),
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
  [
    'the 896-bit message',
    ascii(
      'abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu',
    ),
    'cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1',
  ],
  [
    'a million a',
    ascii('a'.repeat(1_000_000)),
    'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
  ],
  ['one byte 0xbd', Uint8Array.of(0xbd), '68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b'],
  [
    'four bytes',
    Uint8Array.of(0xc9, 0x8c, 0x8e, 0x55),
    '7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504',
  ],
  ['55 zeros', new Uint8Array(55), '02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7'],
  ['56 zeros', new Uint8Array(56), 'd4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb'],
  ['57 zeros', new Uint8Array(57), '65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785'],
  ['64 zeros', new Uint8Array(64), 'f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b'],
  ['1000 zeros', new Uint8Array(1000), '541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53'],
];

test('the kernels of this machine are listed fastest first, and the portable one is always among them', () => {
  assert.equal(active, available[0]);
  assert.equal(available.at(-1), 'portable');
  assert.throws(() => useKernel('abacus'), RangeError);
});

test('every kernel that /proc/cpuinfo promises is there, and no other', () => {
  assert.deepEqual(available, promisedKernels(process.arch, readFileSync('/proc/cpuinfo', 'utf8')));
});

for (const kernel of available) {
  test(`${kernel} agrees with the vectors of NIST, alone and in company`, async () => {
    useKernel(kernel);
    for (const [name, data, expected] of vectors) {
      assert.equal(hex((await sha256([data]))[0]!), expected, name);
      assert.equal(hex(new Sha256State().update(data).digest()), expected, name);
    }
    const together = await sha256(vectors.map(([, data]) => data));
    assert.deepEqual(
      together.map(hex),
      vectors.map(([, , expected]) => expected),
    );
  });

  test(`${kernel} agrees with node:crypto for every number of messages of one length`, async () => {
    useKernel(kernel);
    for (let count = 0; count <= 35; count++) {
      const messages = Array.from({ length: count }, (_, i) => noise(1000, i + 1));
      assert.deepEqual(
        (await sha256(messages)).map(hex),
        messages.map(digestOf).map(hex),
        `${count} messages`,
      );
    }
  });

  test(`${kernel} agrees with node:crypto for every length around the block borders`, async () => {
    useKernel(kernel);
    const messages = Array.from({ length: 260 }, (_, length) => noise(length, length));
    assert.deepEqual((await sha256(messages)).map(hex), messages.map(digestOf).map(hex));
    // And not aligned to anything.
    const odd = messages.map((message) => {
      const memory = new Uint8Array(message.length + 3);
      memory.set(message, 3);
      return memory.subarray(3);
    });
    assert.deepEqual((await sha256(odd)).map(hex), messages.map(digestOf).map(hex));
  });

  test(`${kernel} agrees with node:crypto for any mixture of lengths`, async () => {
    useKernel(kernel);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 40 }), async (messages) => {
        assert.deepEqual((await sha256(messages)).map(hex), messages.map(digestOf).map(hex));
      }),
      { numRuns: 60 },
    );
  });

  test(`${kernel} hashes 16 blocks of 512 KiB as node:crypto does`, async () => {
    useKernel(kernel);
    const blocks = Array.from({ length: 16 }, (_, i) => noise(524_288, i + 7));
    assert.deepEqual((await sha256(blocks)).map(hex), blocks.map(digestOf).map(hex));
  });

  test(`${kernel} resumes a state that any kernel exported, wherever the message was split`, () => {
    const message = noise(400, 5);
    for (let cut = 0; cut <= message.length; cut += 7) {
      useKernel(available[cut % available.length]!);
      const exported = new Sha256State().update(message.subarray(0, cut)).export();
      useKernel(kernel);
      const state = Sha256State.import(exported);
      assert.equal(hex(state.digest()), hex(digestOf(message.subarray(0, cut))));
      assert.equal(hex(state.update(message.subarray(cut)).digest()), hex(digestOf(message)));
    }
  });
}

test('any number of messages may be given at once', async () => {
  const messages = Array.from({ length: 2500 }, (_, i) => noise(i % 70, i));
  assert.deepEqual((await sha256(messages)).map(hex), messages.map(digestOf).map(hex));
});

test('a state gives the same digest however the message is split, and a digest does not end it', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (pieces) => {
      const state = new Sha256State();
      const reference = createHash('sha256');
      for (const piece of pieces) {
        state.update(piece);
        reference.update(piece);
        assert.equal(hex(state.digest()), reference.copy().digest('hex'));
      }
    }),
    { numRuns: 100 },
  );
});

test('an exported state does not change when the original is updated', () => {
  const state = new Sha256State().update(ascii('ab'));
  const exported = state.export();
  state.update(ascii('d'));
  assert.equal(hex(Sha256State.import(exported).update(ascii('c')).digest()), vectors[1]![2]);
  assert.equal(exported.length, 120);
});

test('bytes that are not an exported state, or a damaged one, are refused', () => {
  const exported = new Sha256State().update(noise(1000)).export();
  assert.throws(
    () => Sha256State.import(exported.subarray(1)),
    /RangeError: a SHA-256 state has 120 bytes, not 119/,
  );
  for (let bit = 0; bit < exported.length * 8; bit += 5) {
    const damaged = exported.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(() => Sha256State.import(damaged), RangeError, `bit ${bit}`);
  }
  assert.throws(() => Sha256State.import('state' as unknown as Uint8Array), TypeError);
});

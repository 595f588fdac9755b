/** Damaged input of every kind is rejected, or means what it says. `npm run test:fuzz` tries a million. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fuzz, fuzzers } from './fuzz.ts';

const count = Number(process.env.COLDSNAP_LONG ?? 20_000);
const seed = Number(process.env.COLDSNAP_SEED ?? Date.now() % 2 ** 31);

for (const fuzzer of fuzzers) {
  test(`${fuzzer.name} that is damaged is rejected or means what it says`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'coldsnap-fuzz-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const { inputs, accepted } = await fuzz(fuzzer, count, seed, directory);
    t.diagnostic(`seed ${seed}: ${inputs} inputs, ${accepted} accepted`);
    assert.ok(accepted < inputs);
  });
}

/** Every field of a list is checked as the service sent it, before it decides anything. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import { listBlocks, listChangedBlocks } from '../../src/ebs/list/block-list.ts';
import { SdkEbsApi } from '../../src/ebs/sdk-api.ts';

let reply = '';
const server = createServer((_request, response) => {
  response.setHeader('content-type', 'application/json').end(reply);
});
let api: SdkEbsApi;

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret' };
  api = new SdkEbsApi(new EBSClient({ endpoint, region: 'us-east-1', credentials, maxAttempts: 1 }));
});
after(() => {
  api.close();
  server.close();
});

const block = (index: string, token = '"AAAB"') => `{"BlockIndex":${index},"BlockToken":${token}}`;
const list = (blocks: string, rest = '"VolumeSize":1,"BlockSize":524288') => `{"Blocks":${blocks},${rest}}`;

async function read(pages: AsyncIterable<{ entries: readonly { blockIndex: number }[] }>): Promise<number[]> {
  const indexes: number[] = [];
  for await (const page of pages) indexes.push(...page.entries.map(({ blockIndex }) => blockIndex));
  return indexes;
}

/** JSON values that are no index of a block of a GiB. */
const notIndexes = [
  ['1e400', 'Infinity'],
  ['-1e400', '-Infinity'],
  ['1e300', 'a huge number'],
  ['9007199254740993', 'more than is exact'],
  ['2048', 'the first block behind the volume'],
  ['0.5', 'a fraction'],
  ['-1', 'a negative number'],
  ['"7"', 'a string'],
  ['"Infinity"', 'the string Infinity'],
  ['"NaN"', 'the string NaN'],
  ['null', 'null'],
  ['true', 'true'],
  ['[7]', 'an array'],
  ['{"value":7}', 'an object'],
] as const;

for (const [index, what] of notIndexes) {
  for (const below of [undefined, 100]) {
    const until = below === undefined ? '' : ', in a list that ends below block 100';
    test(`a list with ${what} for an index is rejected${until}`, async () => {
      reply = list(`[${block('3')},${block(index)}]`);
      const range = below === undefined ? {} : { below };
      await assert.rejects(read(listBlocks(api, 'snap-1', range)), { class: 'permanent', code: 'BAD_LIST' });
      reply = `{"ChangedBlocks":[{"BlockIndex":${index},"SecondBlockToken":"AAAB"}],"VolumeSize":1,"BlockSize":524288}`;
      await assert.rejects(read(listChangedBlocks(api, 'snap-1', 'snap-2', range)), { code: 'BAD_LIST' });
    });
  }
}

const bad: Record<string, string> = {
  'null among its blocks': list(`[${block('3')},null]`),
  'a string among its blocks': list(`["3"]`),
  'a number among its blocks': list('[3]'),
  'an array among its blocks': list(`[[${block('3')}]]`),
  'an object in place of its blocks': list('{"0":1}'),
  'a string in place of its blocks': list('"3"'),
  'a number in place of its blocks': list('0'),
  'null in place of its blocks': list('null'),
  'no blocks at all': '{"VolumeSize":1,"BlockSize":524288}',
  'a token that is an object': list(`[${block('3', '{}')}]`),
  'a token that is a number': list(`[${block('3', '5')}]`),
  'a token that is an array': list(`[${block('3', '["AAAB"]')}]`),
  'a token that is null': list(`[${block('3', 'null')}]`),
  'an empty token': list(`[${block('3', '""')}]`),
  'a bad token behind the end of the range': list(`[${block('3')},${block('150', '""')}]`),
  'a page token that is a number': list('[]', '"VolumeSize":1,"BlockSize":524288,"NextToken":0'),
  'a page token that is false': list('[]', '"VolumeSize":1,"BlockSize":524288,"NextToken":false'),
  'a page token that is an object': list('[]', '"VolumeSize":1,"BlockSize":524288,"NextToken":{}'),
  'a volume size of 1e400': list('[]', '"VolumeSize":1e400,"BlockSize":524288'),
  'a volume size that is a string': list('[]', '"VolumeSize":"1","BlockSize":524288'),
  'a volume size that is a fraction': list('[]', '"VolumeSize":1.5,"BlockSize":524288'),
  'a volume size that is null': list('[]', '"VolumeSize":null,"BlockSize":524288'),
  'a block size of 1e400': list('[]', '"VolumeSize":1,"BlockSize":1e400'),
  'a block size that is a string': list('[]', '"VolumeSize":1,"BlockSize":"524288"'),
  'a block size that is an object': list('[]', '"VolumeSize":1,"BlockSize":{"length":524288}'),
};

for (const [what, text] of Object.entries(bad)) {
  test(`a list with ${what} is rejected`, async () => {
    reply = text;
    await assert.rejects(read(listBlocks(api, 'snap-1', { below: 100 })), {
      class: 'permanent',
      code: /^BAD_(LIST|REPLY)$/,
    });
  });
}

test('a list with an empty page token ends, and names of members of Object are no fields', async () => {
  reply = list(
    `[${block('3')}]`,
    '"VolumeSize":1,"BlockSize":524288,"NextToken":"","__proto__":{"x":1},"toString":5',
  );
  assert.deepEqual(await read(listBlocks(api, 'snap-1')), [3]);
});

const changed = (tokens: string) =>
  `{"ChangedBlocks":[{"BlockIndex":3,${tokens}}],"VolumeSize":1,"BlockSize":524288}`;

test('a token of a changed block that is null is absent', async () => {
  reply = changed('"FirstBlockToken":null,"SecondBlockToken":"AAAB"');
  const page = await api.listChangedBlocks({ firstSnapshotId: 'snap-1', secondSnapshotId: 'snap-2' });
  assert.deepEqual(page.changedBlocks, [{ blockIndex: 3, secondBlockToken: 'AAAB' }]);
});

for (const [what, tokens] of [
  ['null for both tokens', '"FirstBlockToken":null,"SecondBlockToken":null'],
  ['a number for its second token', '"FirstBlockToken":"AAAB","SecondBlockToken":5'],
  ['an object for its first token', '"FirstBlockToken":{},"SecondBlockToken":"AAAB"'],
] as const) {
  test(`a list of changes with ${what} is rejected`, async () => {
    reply = changed(tokens);
    await assert.rejects(read(listChangedBlocks(api, 'snap-1', 'snap-2')), { code: 'BAD_LIST' });
  });
}

for (const [what, text] of [
  ['another size', '"VolumeSize":2'],
  ['a size that is a string', '"VolumeSize":"1"'],
  ['a state that does not exist', '"VolumeSize":1,"Status":"toString"'],
  ['a state that is an object', '"VolumeSize":1,"Status":{}'],
  ['a block size of 1e400', '"VolumeSize":1,"BlockSize":1e400'],
  ['an ID that is an array', '"VolumeSize":1,"SnapshotId":["snap-1"]'],
] as const) {
  test(`a start whose reply has ${what} is rejected`, async () => {
    reply = `{"SnapshotId":"snap-1","BlockSize":524288,"Status":"pending",${text}}`;
    await assert.rejects(api.startSnapshot({ volumeSizeGiB: 1, clientToken: 'a' }), { code: 'BAD_REPLY' });
  });
}

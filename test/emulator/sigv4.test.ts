import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import {
  credentials,
  download,
  ebsClient,
  ec2Client,
  put,
  randomBlock,
  refusal,
  run,
  start,
  testClock,
  upload,
} from './client.ts';
import { headerOf, raw, signed } from './raw.ts';

const { accessKeyId, secretAccessKey } = credentials;
const known = { [accessKeyId]: { secretAccessKey } };

test("the SDK's signatures verify for every operation", async (t) => {
  const { emulator, ebs, ec2 } = await run(t, { credentials: known, region: 'us-east-1' });
  const blocks = new Map([0, 1, 2, 3].map((index) => [index, randomBlock()]));
  const id = await upload(emulator, ebs, blocks, { Description: 'späce & more' });
  assert.deepEqual(await download(ebs, id), blocks);
  const filter = { Filters: [{ Name: 'tag:a b', Values: ['*~!()'] }] };
  assert.deepEqual((await ec2.send(new DescribeSnapshotsCommand(filter))).Snapshots, []);
});

test('a wrong secret, an unknown key or a missing session token is rejected', async (t) => {
  const session = { secretAccessKey, sessionToken: 'token' };
  const { emulator } = await run(t, { credentials: { ...known, ASIA: session } });
  const cases: [Parameters<typeof ebsClient>[1], string, string][] = [
    [{ accessKeyId, secretAccessKey: 'wrong' }, 'InvalidSignatureException', 'SignatureDoesNotMatch'],
    [{ accessKeyId: 'AKIDOTHER', secretAccessKey }, 'UnrecognizedClientException', 'AuthFailure'],
    [{ accessKeyId: 'ASIA', secretAccessKey }, 'UnrecognizedClientException', 'AuthFailure'],
    [{ accessKeyId: 'ASIA', ...session, sessionToken: 'old' }, 'UnrecognizedClientException', 'AuthFailure'],
    [{ accessKeyId, secretAccessKey, sessionToken: 'token' }, 'UnrecognizedClientException', 'AuthFailure'],
  ];
  for (const [keys, ebsError, ec2Error] of cases) {
    const ebs = ebsClient(emulator.url, keys);
    const ec2 = ec2Client(emulator.url, keys);
    await assert.rejects(start(ebs), refusal(ebsError, undefined, 403));
    await assert.rejects(ec2.send(new DescribeSnapshotsCommand({})), refusal(ec2Error));
    ebs.destroy();
    ec2.destroy();
  }
  const ebs = ebsClient(emulator.url, { accessKeyId: 'ASIA', ...session });
  await start(ebs);
  ebs.destroy();
});

test('a clock that is off by more than 15 minutes is rejected', async (t) => {
  const clock = testClock(Date.now());
  const { emulator, ebs, ec2 } = await run(t, { credentials: known, now: clock.now });
  clock.move(14 * 60_000);
  await start(ebs);
  clock.move(2 * 60_000);
  const failure = await start(ebs).catch((error: Error) => error);
  refusal('InvalidSignatureException', undefined, 403)(failure);
  assert.match((failure as Error).message, /^Signature expired/);
  await assert.rejects(ec2.send(new DescribeSnapshotsCommand({})), refusal('RequestExpired', undefined, 400));
  assert.equal(emulator.requests('StartSnapshot').at(-1)?.errorType, 'InvalidSignatureException');
});

test("the scope's Region must be the emulator's, if one is configured", async (t) => {
  const strict = await run(t, { region: 'eu-west-1' });
  await assert.rejects(start(strict.ebs), refusal('InvalidSignatureException', undefined, 403));
  const lenient = await run(t);
  await start(lenient.ebs);
});

test('without configured credentials, a signature must still be present and well-formed', async (t) => {
  const { emulator } = await run(t);
  const path = '/snapshots/snap-0/blocks';
  const good = signed();
  const cases: [Record<string, string | undefined>, string][] = [
    [{ ...good, Authorization: 'Bearer x' }, 'IncompleteSignatureException'],
    [
      { ...good, Authorization: good.Authorization!.replace(/Signature=\S+/, 'Signature=0') },
      'IncompleteSignatureException',
    ],
    [{ ...good, Authorization: good.Authorization!.replace('host;', '') }, 'IncompleteSignatureException'],
    [{ ...good, 'x-amz-security-token': 'x' }, 'IncompleteSignatureException'],
    [{ ...good, 'X-Amz-Date': 'today' }, 'IncompleteSignatureException'],
    [{ ...good, 'X-Amz-Date': '20200101T000000Z' }, 'IncompleteSignatureException'],
    [{ ...good, 'X-Amz-Date': undefined }, 'IncompleteSignatureException'],
    [signed('ec2'), 'InvalidSignatureException'],
    [signed('s3'), 'InvalidSignatureException'],
  ];
  for (const [headers, type] of cases) {
    const reply = await raw(emulator.url, { path, headers });
    assert.deepEqual([reply.status, headerOf(reply, 'x-amzn-ErrorType')], [403, type]);
  }
  const unsigned = await raw(emulator.url, { path, headers: { Authorization: undefined } });
  assert.deepEqual(
    [unsigned.status, headerOf(unsigned, 'x-amzn-ErrorType')],
    [403, 'MissingAuthenticationTokenException'],
  );
  const wrongService = await raw(emulator.url, {
    method: 'POST',
    path: '/',
    body: 'Action=DescribeSnapshots&Version=2016-11-15',
  });
  assert.equal(wrongService.status, 401);
});

test('the signed payload hash must match the body; only a put may have an unsigned payload', async (t) => {
  const { emulator, ebs } = await run(t, { credentials: known });
  const id = await start(ebs);
  const change = (value: string | undefined) => {
    const client = ebsClient(emulator.url);
    client.middlewareStack.add(
      (next) => (args) => {
        const { headers } = args.request as { headers: Record<string, string> };
        if (value !== undefined) headers['x-amz-content-sha256'] = value;
        return next(args);
      },
      { step: 'build', name: 'payloadHash' },
    );
    t.after(() => client.destroy());
    return client;
  };
  const refused = refusal('InvalidSignatureException', undefined, 403);
  await put(change('UNSIGNED-PAYLOAD'), id, 0, randomBlock());
  await assert.rejects(start(change('UNSIGNED-PAYLOAD')), refused);
  await assert.rejects(put(change('0'.repeat(64)), id, 1, randomBlock()), refused);
  await assert.rejects(put(change('STREAMING-AWS4-HMAC-SHA256-PAYLOAD'), id, 1, randomBlock()), refused);
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, [0]);
});

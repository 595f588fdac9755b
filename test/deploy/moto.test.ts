/**
 * The documents of deploy/ as cfn-lint (in CFN_LINT) and moto_server (in MOTO_SERVER) take them. moto stores and starts
 * what it is given and runs no container: the command that it has registered is run here.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { firstWrongBlock, GIB } from '../support/service.ts';
import { ArrayJob } from './array-job.ts';
import { jobDefinition, paths } from './documents.ts';

const moto = process.env.MOTO_SERVER ?? '';
const cfnLint = process.env.CFN_LINT ?? '';
const needsMoto = { skip: moto === '' && 'no moto_server in MOTO_SERVER: npm run test:deploy installs it' };
const needsCfnLint = { skip: cfnLint === '' && 'no cfn-lint in CFN_LINT: npm run test:deploy installs it' };

/** moto resolves no reference to an access point. */
const batchTemplate = readFileSync(paths.batch, 'utf8').replace(
  '!Ref AccessPoint,',
  'fsap-0123456789abcdef0,',
);

test('cfn-lint finds nothing in the template', needsCfnLint, () => {
  assert.equal(execFileSync(cfnLint, [paths.batch], { encoding: 'utf8' }), '');
});

describe('over moto_server', needsMoto, () => {
  let server: ChildProcess;
  let endpoint = '';

  async function post(service: string, path: string, body: string, headers: Record<string, string>) {
    // moto reads the service off the scope of the signature, which it does not verify.
    const authorization = `AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=0`;
    const reply = await fetch(endpoint + path, {
      method: 'POST',
      headers: { authorization, ...headers },
      body,
    });
    const text = await reply.text();
    assert.ok(reply.ok, text);
    return text;
  }
  const query = (service: string, Version: string, Action: string, parameters: Record<string, string> = {}) =>
    post(service, '/', new URLSearchParams({ Action, Version, ...parameters }).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
    });
  const cloudFormation = (action: string, parameters: Record<string, string>) =>
    query('cloudformation', '2010-05-15', action, parameters);
  const json = async (service: string, path: string, body: object, headers: Record<string, string> = {}) =>
    JSON.parse(
      await post(service, path, JSON.stringify(body), { 'content-type': 'application/json', ...headers }),
    );
  const ssm = (action: string, body: object) =>
    json('ssm', '/', body, {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `AmazonSSM.${action}`,
    });

  before(async () => {
    server = spawn(moto, ['-H', '127.0.0.1', '-p', '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: server.stderr! })) {
      endpoint = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1] ?? '';
      if (endpoint !== '') break;
    }
    assert.notEqual(endpoint, '', 'moto_server did not start');
    server.stderr!.resume();
    await json('moto-api', '/moto-api/config', { batch: { use_docker: false } });
  });

  after(async () => {
    server.kill();
    if (server.exitCode === null) await once(server, 'exit');
  });

  test('the stack is created, and each job of an array that is submitted restores its own snapshot', async (t) => {
    const subnets = await query('ec2', '2016-11-15', 'DescribeSubnets');
    const parameters = {
      Image: '123456789012.dkr.ecr.us-east-1.amazonaws.com/coldsnap:1',
      VpcId: /<vpcId>(.*?)<\/vpcId>/.exec(subnets)![1]!,
      SubnetId: /<subnetId>(.*?)<\/subnetId>/.exec(subnets)![1]!,
    };
    await cloudFormation('CreateStack', {
      StackName: 'coldsnap',
      TemplateBody: batchTemplate,
      'Capabilities.member.1': 'CAPABILITY_IAM',
      ...Object.fromEntries(
        Object.entries(parameters).flatMap(([name, value], at) => [
          [`Parameters.member.${at + 1}.ParameterKey`, name],
          [`Parameters.member.${at + 1}.ParameterValue`, value],
        ]),
      ),
    });
    const stack = await cloudFormation('DescribeStacks', { StackName: 'coldsnap' });
    assert.match(stack, /<StackStatus>CREATE_COMPLETE</);
    const output = (name: string) =>
      new RegExp(`<OutputKey>${name}</OutputKey>\\s*<OutputValue>(.*?)</OutputValue>`).exec(stack)![1]!;
    const resources = await cloudFormation('DescribeStackResources', { StackName: 'coldsnap' });
    assert.equal(resources.match(/<ResourceStatus>CREATE_COMPLETE</g)!.length, 11);

    const definitions = await json('batch', '/v1/describejobdefinitions', {
      jobDefinitions: [output('JobDefinition')],
    });
    const [registered] = definitions.jobDefinitions;
    assert.deepEqual(registered.containerProperties.command, jobDefinition.ContainerProperties.Command);
    assert.deepEqual(registered.retryStrategy, {
      attempts: 10,
      evaluateOnExit: [
        { action: 'retry', onExitCode: '5' },
        { action: 'exit', onExitCode: '*' },
        { action: 'exit', onReason: '*' },
        { action: 'exit', onStatusReason: '*' },
      ],
    });

    const volumes = [0, 1, 2].map(() => new Map([[3, randomBytes(524_288)]]));
    const array = await ArrayJob.for(t, ({ emulator }) =>
      Promise.all(
        volumes.map(async (blocks, index) => {
          return `download ${await emulator.putSnapshot({ volumeSizeGiB: 1, blocks })} disk-${index}.img`;
        }),
      ),
    );
    const { jobId } = await json('batch', '/v1/submitjob', {
      jobName: 'restore',
      jobQueue: output('JobQueue'),
      jobDefinition: output('JobDefinition'),
      arrayProperties: { size: volumes.length },
    });
    const { jobs } = await json('batch', '/v1/describejobs', {
      jobs: volumes.map((_, index) => `${jobId}:${index}`),
    });
    assert.equal(jobs.length, volumes.length);
    for (const child of jobs) {
      const index = Number(child.jobId.split(':')[1]);
      const { exit, stderr } = await array.run(index, {}, registered.containerProperties.command);
      assert.equal(exit, 0, stderr);
      const image = array.place.path(`efs/disk-${index}.img`);
      assert.equal(await firstWrongBlock(image, volumes[index]!, GIB), undefined);
    }
  });

  test('the SSM document is created with all its parameters', async () => {
    const { DocumentDescription: created } = await ssm('CreateDocument', {
      Name: 'coldsnap-restore',
      DocumentType: 'Command',
      DocumentFormat: 'YAML',
      TargetType: '/AWS::EC2::Instance',
      Content: readFileSync(paths.ssm, 'utf8'),
    });
    assert.equal(created.SchemaVersion, '2.2');
    assert.deepEqual(
      created.Parameters.map(({ Name }: { Name: string }) => Name),
      ['SnapshotId', 'Device', 'Force'],
    );
  });
});

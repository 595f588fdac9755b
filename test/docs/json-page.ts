/** docs/json.md by its sections, and commands whose output is compared with it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { errorCodes } from '../../src/error-codes.ts';
import { warningCodes } from '../../src/warning-codes.ts';
import { type Outcome, ours, Workplace } from '../support/workplace.ts';
import { read } from './markdown.ts';

export type Json = Readonly<Record<string, unknown>>;

interface Field {
  readonly type: string;
  readonly optional: boolean;
}

type Schema = ReadonlyMap<string, Field>;

interface Section {
  readonly schema: Schema;
  readonly examples: readonly Json[];
}

/** The sections of the page by heading, without code marks. */
function readPage(): Map<string, Section> {
  const sections = new Map<string, Section>();
  for (const part of read('docs/json.md').split(/^### /m).slice(1)) {
    const heading = part.slice(0, part.indexOf('\n')).replaceAll('`', '');
    const schema = new Map<string, Field>();
    if (/^All fields of `progress`|All fields of `progress` but/m.test(part)) {
      for (const [name, { type }] of sections.get('progress')!.schema) {
        if (!['etaSeconds', 'activity'].includes(name)) schema.set(name, { type, optional: false });
      }
    }
    for (const [, name, type, optional] of part.matchAll(/^\| `(\w+)` \| ([\w ]+?)(, optional)? \|/gm)) {
      schema.set(name!, { type: type!, optional: optional !== undefined });
    }
    const examples = [...part.matchAll(/^```json\n(.+)\n```$/gm)].map(
      ([, line]) => JSON.parse(line!) as Json,
    );
    sections.set(heading, { schema, examples });
  }
  return sections;
}

export const page = readPage();

function hasType(value: unknown, type: string): boolean {
  if (type.includes(' or ')) return type.split(' or ').some((one) => hasType(value, one));
  const element = /^array of (.+)$/.exec(type)?.[1];
  if (element !== undefined) return Array.isArray(value) && value.every((item) => hasType(item, element));
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  const nested = page.get(type);
  if (nested !== undefined) return faultsOf(value as Json, nested.schema).length === 0;
  return typeof value === type;
}

export function faultsOf(object: Json, schema: Schema): string[] {
  const faults: string[] = [];
  for (const [name, { type, optional }] of schema) {
    if (object[name] === undefined) {
      if (!optional) faults.push(`${name} is missing`);
    } else if (!hasType(object[name], type)) faults.push(`${name} is not ${type}`);
  }
  return [
    ...faults,
    ...Object.keys(object)
      .filter((name) => !schema.has(name))
      .map((name) => `${name} is not described`),
  ];
}

export const sectionOf = ({ type, operation, targets, dryRun }: Json): string =>
  type === 'done' && dryRun === true && operation !== 'pending'
    ? 'done of a dry run'
    : type === 'done' && targets !== undefined
      ? 'done of several targets'
      : type === 'done' && operation !== 'download' && operation !== 'upload'
        ? `done of ${operation}`
        : String(type);

const knownCodes = new Set(
  [...Object.values(errorCodes), warningCodes].flatMap((codes) => Object.keys(codes)),
);

/** The event, after it was compared with the page. */
export function check(line: string): Json {
  const event = JSON.parse(line) as Json;
  const section = page.get(sectionOf(event));
  assert.ok(section, `not described: ${line}`);
  assert.deepEqual(faultsOf(event, section.schema), [], line);
  if (event.code !== undefined) {
    assert.ok(knownCodes.has(String(event.code)) || /^E[A-Z0-9]+$|^SIG/.test(String(event.code)), line);
  }
  if (typeof event.bytesTransferred === 'number') {
    const number = (name: string) => Number(event[name]);
    const [bytesDone, bytesTotal] = [number('bytesDone'), number('bytesTotal')];
    const sum = number('bytesTransferred') + number('bytesSkipped') + number('bytesResumed');
    assert.equal(bytesDone, sum, line);
    assert.ok(bytesDone <= bytesTotal, line);
    if (event.type === 'done') assert.equal(bytesDone, bytesTotal, line);
  }
  return event;
}

export const small = 6 * 524_288;

/** A place with `source.img`, in which commands run with `--json --verbose`. */
export class Commands {
  readonly place: Workplace;
  readonly seen = new Set<string>();

  constructor(place: Workplace) {
    this.place = place;
  }

  static async for(t: TestContext): Promise<Commands> {
    const place = await Workplace.for(t);
    writeFileSync(place.path('source.img'), randomBytes(small));
    return new Commands(place);
  }

  /** The events and the document of a command, compared with the page. */
  async run(
    ...words: string[]
  ): Promise<{ exit: Outcome['exit']; events: Json[]; result: Json | undefined }> {
    return this.compare(
      await this.place.run(ours, ['--endpoint', this.place.emulator.url, '--json', '--verbose', ...words]),
    );
  }

  compare({ exit, stdout, stderr }: Outcome) {
    const events = stderr
      .split('\n')
      .filter((line) => line !== '')
      .map(check);
    for (const event of events) this.seen.add(sectionOf(event));
    const result = stdout === '' ? undefined : (JSON.parse(stdout) as Json);
    return { exit, events, result };
  }

  /** Starts a command, sends it SIGTERM in its second request of this kind, and waits for its end. */
  async interrupt(operation: 'GetSnapshotBlock' | 'PutSnapshotBlock', ...words: string[]) {
    const { emulator } = this.place;
    emulator.clearLog();
    emulator.setFaults([{ operation, nth: 2, action: { type: 'stall' } }]);
    const line = ['--endpoint', emulator.url, '--json', '--workers', '1'];
    const child = this.place.start(ours, [words[0]!, ...line, ...words.slice(1)]);
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => {
      output.stdout += data;
    });
    child.stderr.on('data', (data) => {
      output.stderr += data;
    });
    const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
    await emulator.waitForRequest((request) => request.operation === operation, 2);
    child.kill('SIGTERM');
    const exit = await ended;
    emulator.setFaults([]);
    return this.compare({ exit, ...output });
  }
}

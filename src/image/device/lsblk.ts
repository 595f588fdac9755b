/** Block devices as lsblk lists them. */
import type { FoundDevice } from './list.ts';
import { type Fields, listIn, runForJson, textIn } from './programs.ts';

const columns = 'NAME,KNAME,PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RO,FSTYPE,LABEL';

/** @returns undefined where lsblk is not installed, or too old to give paths */
export async function devicesFromLsblk(): Promise<FoundDevice[] | undefined> {
  const output = await runForJson('lsblk', ['--all', '--bytes', '--json', '--output', columns]);
  if (output === undefined) return undefined;
  return fromLsblk(output);
}

/** @param output the parsed output of `lsblk --all --bytes --json` */
export function fromLsblk(output: unknown): FoundDevice[] {
  // A device that is made of several is listed below each of them.
  const found = new Map<string, FoundDevice>();
  const visit = (fields: Fields, parent: string | undefined) => {
    const path = textIn(fields, 'path');
    if (path === undefined) return;
    if (!found.has(path)) found.set(path, deviceOf(fields, path, parent));
    for (const child of listIn(fields, 'children')) visit(child, path);
  };
  for (const device of listIn(output, 'blockdevices')) visit(device, undefined);
  return [...found.values()];
}

function deviceOf(fields: Fields, path: string, parent: string | undefined): FoundDevice {
  const text = (key: string) => textIn(fields, key)?.trim() || undefined;
  const [model, serial, transport, type] = [text('model'), text('serial'), text('tran'), text('fstype')];
  const label = text('label');
  return {
    path,
    name: text('kname') ?? text('name') ?? '',
    type: text('type') ?? 'disk',
    size: Number(fields.size ?? 0) || 0,
    ...(model === undefined ? {} : { model }),
    ...(serial === undefined ? {} : { serial }),
    ...(transport === undefined ? {} : { transport }),
    // Older versions print numbers and flags as text.
    readOnly: fields.ro === true || fields.ro === '1' || fields.ro === 1,
    ...(parent === undefined ? {} : { parent }),
    ...(type === undefined ? {} : { format: { type, ...(label === undefined ? {} : { label }) } }),
  };
}

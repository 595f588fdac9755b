/** Keeps unidiomatic words out of every tracked text file. Each phrase has the one to use instead. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { project } from './markdown.ts';

/** Paths, or beginnings of paths, to check; an empty string checks every tracked file. */
const checkedPaths: readonly string[] = [''];

/** Not prose, or this list itself. */
const skipped = /^(LICENSE|package-lock\.json|test\/docs\/words\.test\.ts)$|\.(svg|png|gz|bin)$/;

const phrases: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\banew\b/i, 'again, start over'],
  [/\bfor ever\b/i, 'forever, indefinitely'],
  [/\b(?:go|goes|went|going|gone) on (?:with|where|from|as|when|without)\b/i, 'resume, continue'],
  [/\b(?:take|takes|took|taken|taking) up (?:a|an|the|where|what|again)\b|\btakeUp\b/i, 'resume'],
  [/\bstartsAnew\b/, 'onDiscarded'],
  [/\bnobody's\b/i, 'not owned, of no one'],
  [/\b(?:is|are|was|were|be) told\b/i, 'gets, learns, is given'],
  [/\blet(?:s|ting)? go of\b/i, 'cancel, release'],
  [/\bround in circles\b/i, 'repeats the same page token'],
  [/\b(?:read|reads|reading) as noise\b/i, 'reads as random data'],
  [/\bin words\b|InWords\b/, 'description, formatDuration'],
  [/\bhops?\b/i, 'thread-pool call'],
  [/\bwhoever\b/i, 'name the subject'],
  [/\bso many\b/i, 'a number, or nothing'],
  [/\b(?:leave|leaves|left|leaving) out\b/i, 'skip, omit, drop'],
  [/\bwith a word on\b/i, 'naming'],
  [/\bnot found out\b/i, 'could not check'],
  [/\bis begun\b|\bhas begun and\b/i, 'created, started'],
  [/\bnothing has moved\b/i, 'no progress'],
  [/\bsnap(?:shot)?(?:-\S+| \S+)? has failed\b/i, 'is in state "error"'],
  [/\bdone by an earlier run\b/i, 'already done'],
  [/\bas it was judged\b|\bverdicts?\b|\bBlockVerdict\b/i, 'outcome, classified'],
  [/\bleads? to (?:something else|the device|it again)\b/i, 'refers to'],
  [/\bpending" tells\b/, 'lists it'],
  [/(?:^|[^\w.-])rooms\b|\b(?:each|every|own|one|other) room\b/i, 'layer'],
  [/\b(?:DeviceFacts|factsOf|usesOfDevice|writeMark|commitMark|inodeMark)\b/, 'the new name of the symbol'],
  [
    /\b(?:ArrivedBlock|ListPace|NotUnderstood|FoundJournal|JournalPlace|saveAllBut)\b/,
    'the new name of the symbol',
  ],
  [
    /\b(?:sayMaybeLeft|forgetStart|startUnheard|toldUnknown|SENT_ANYWAY|swallowing)\b/,
    'the new name of the symbol',
  ],
  [/(?:^\s*(?:\/\*\*|\*|\/\/|#)|\.)\s+(?:Of|What|Whoever) [a-z]/m, 'subject and verb first'],
];

const files = execFileSync('git', ['ls-files', '-z'], { cwd: project, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && !skipped.test(file))
  .filter((file) => checkedPaths.some((path) => file.startsWith(path)));

test('the checked paths exist', () => {
  const missing = checkedPaths.filter((path) => !files.some((file) => file.startsWith(path)));
  assert.deepEqual(missing, []);
});

test('no file has an unidiomatic phrase', () => {
  const found = files.flatMap((file) => {
    const lines = readFileSync(join(project, file), 'utf8').split('\n');
    return lines.flatMap((line, index) =>
      phrases
        .filter(([pattern]) => pattern.test(line))
        .map(([, instead]) => `${file}:${index + 1}: ${line.trim()} (${instead})`),
    );
  });
  assert.deepEqual(found, []);
});

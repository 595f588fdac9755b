/** Writes docs/errors.md from the list of error codes. A test compares it with the committed file. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { exitCodeOf } from '../src/cli/exit-codes.ts';
import { type ErrorCode, errorCodes } from '../src/error-codes.ts';
import { ColdsnapError, type ErrorClass } from '../src/errors.ts';
import { warningCodes } from '../src/warning-codes.ts';

export const errorsPagePath = new URL('../docs/errors.md', import.meta.url);

function errorRows(): string[] {
  const classes = Object.entries(errorCodes) as [ErrorClass, Record<ErrorCode, string>][];
  return classes.flatMap(([errorClass, codes]) => {
    const entries = Object.entries(codes) as [ErrorCode, string][];
    return entries.map(([code, meaning]) => {
      const exitCode = exitCodeOf(new ColdsnapError(errorClass, code, meaning));
      return `| \`${code}\` | ${errorClass} | ${exitCode} | ${meaning} |`;
    });
  });
}

export function errorsPage(): string {
  return `<!-- Made by scripts/generate-errors.ts: do not edit. -->
# Errors and warnings

A \`ColdsnapError\` has a \`code\` and a \`class\`; \`--json\` prints both. The class decides whether a request is retried and
which exit code the command returns. A failed system call has the name of its errno, such as \`ENOSPC\`, as the code, and
class \`local\`.

A retryable failure (\`transient\`, \`throttle\`, \`not-yet-visible\`) that lasts longer than the retry time keeps its code
and gets class \`gave-up\`, or \`permanent\` if the snapshot never appeared. An endpoint or proxy that could not be reached
once gets class \`config\` after 5 seconds already: its name is more likely wrong than the service down.

## Errors

| code | class | exit code | meaning |
|---|---|---|---|
${errorRows().join('\n')}

## Warnings

Codes of \`warning\` events. The run continues.

| code | meaning |
|---|---|
${Object.entries(warningCodes)
  .map(([code, meaning]) => `| \`${code}\` | ${meaning} |`)
  .join('\n')}
`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(errorsPagePath, errorsPage());
}

/** An environment without AWS settings, except those of the test. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { setVariable } from './certificates.ts';

/** Removes all settings of the stage from the environment, except those given, and returns an empty home directory. */
export function environment(t: TestContext, variables: Record<string, string> = {}): string {
  const home = mkdtempSync(join(tmpdir(), 'coldsnap-home-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  for (const name of Object.keys(process.env)) {
    if (/^AWS_|^(CURL|REQUESTS)_CA_BUNDLE$|^NODE_EXTRA_CA_CERTS$|^SSL_CERT_|^SUDO_|_proxy$/i.test(name))
      setVariable(t, name, undefined);
  }
  const settings = {
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    AWS_CONFIG_FILE: join(home, 'config'),
    AWS_SHARED_CREDENTIALS_FILE: join(home, 'credentials'),
    HOME: home,
    ...variables,
  };
  for (const [name, value] of Object.entries(settings)) setVariable(t, name, value);
  return home;
}

/** Writes files below the home directory. */
export function writeFiles(home: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text);
  }
}

/** Makes a private CA and a certificate for localhost with openssl. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Reason to skip tests that need certificates; false if openssl is installed. */
export const noOpenssl =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is needed to make certificates';

export interface Certificates {
  /** Path of the CA's certificate. */
  readonly ca: string;
  /** PEM texts for the server. */
  readonly key: string;
  readonly cert: string;
}

const made = new Map<string, Certificates>();

/**
 * Makes certificates, once per test file.
 * @param names subject alternative names, as openssl writes them
 */
export function makeCertificates(names = 'DNS:localhost,IP:127.0.0.1'): Certificates {
  const known = made.get(names);
  if (known !== undefined) return known;
  const directory = mkdtempSync(join(tmpdir(), 'coldsnap-ca-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = ['-days', '2', '-subj', '/CN=test CA', '-addext', 'basicConstraints=critical,CA:TRUE'];
  openssl('req', '-x509', ...newKey, '-keyout', path('ca.key'), '-out', path('ca.pem'), ...authority);
  openssl('req', ...newKey, '-keyout', path('key.pem'), '-out', path('leaf.csr'), '-subj', '/CN=test');
  writeFileSync(path('leaf.cnf'), `subjectAltName=${names}\nbasicConstraints=CA:FALSE\n`);
  const signing = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial', '-days', '2'];
  const leaf = ['-extfile', path('leaf.cnf'), '-out', path('cert.pem')];
  openssl('x509', '-req', '-in', path('leaf.csr'), ...signing, ...leaf);
  const certificates = {
    ca: path('ca.pem'),
    key: readFileSync(path('key.pem'), 'utf8'),
    cert: readFileSync(path('cert.pem'), 'utf8'),
  };
  made.set(names, certificates);
  return certificates;
}

/** Sets or removes an environment variable until the test ends. */
export function setVariable(t: TestContext, name: string, value: string | undefined): void {
  const before = process.env[name];
  const set = (to: string | undefined) => {
    if (to === undefined) delete process.env[name];
    else process.env[name] = to;
  };
  set(value);
  t.after(() => set(before));
}

/** Builds the bench's C++ programs and its TLS certificates. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Directory of the sources. */
export const SOURCES = import.meta.dirname;
/** Directory of programs, certificates and figures; not build/, because node-gyp empties it. */
export const OUTPUT = join(SOURCES, 'build');

const PROGRAMS = {
  server: ['server.cc', 'exchange.cc', 'service.cc'],
  client: ['client.cc', 'calls.cc'],
  image: ['image.cc'],
  measure: ['measure.cc'],
} as const;
export type ProgramName = keyof typeof PROGRAMS;

export function programPath(name: ProgramName): string {
  return join(OUTPUT, name);
}

/** Compiles the programs that are missing or older than any source. @throws Error naming a missing tool */
export function buildPrograms(): void {
  mkdirSync(OUTPUT, { recursive: true });
  const modified = (path: string) => statSync(path).mtimeMs;
  const all = readdirSync(SOURCES).filter((file) => /\.(cc|h)$/.test(file));
  const newest = all
    .map((file) => join(SOURCES, file))
    .reduce((one, other) => (modified(other) > modified(one) ? other : one));
  for (const name of Object.keys(PROGRAMS) as ProgramName[]) {
    const program = programPath(name);
    if (existsSync(program) && modified(program) > modified(newest)) continue;
    const sources = PROGRAMS[name].map((file) => join(SOURCES, file));
    const flags = ['-std=c++17', '-O2', '-Wall', '-Wextra', '-Werror'];
    // Renamed into place, because another bench may be starting the program; one that waited for it has nothing to do.
    const fresh = `${program}.${process.pid}`;
    const script = 'test "$program" -nt "$newest" || { "$@" && mv "$fresh" "$program"; }';
    const compiler = ['g++', ...flags, '-o', fresh, ...sources, '-lssl', '-lcrypto'];
    const result = spawnSync('flock', [`${program}.lock`, 'sh', '-c', script, 'sh', ...compiler], {
      encoding: 'utf8',
      env: { ...process.env, program, newest, fresh },
    });
    if (result.error) throw new Error(`the bench requires flock: ${result.error.message}`);
    if (result.status === 127) throw new Error('the bench requires g++ (Debian: apt install g++)');
    if (/openssl\/\w+\.h|cannot find -l(ssl|crypto)/.test(result.stderr)) {
      throw new Error('the bench requires the OpenSSL headers (Debian: apt install libssl-dev)');
    }
    if (result.status !== 0) throw new Error(`cannot compile ${name}:\n${result.stderr}`);
  }
}

export interface Certificates {
  /** Trusted by every client. */
  ca: string;
  certificate: string;
  key: string;
}

/** Creates a CA and a certificate for localhost and 127.0.0.1 in `directory`, valid for one day. */
export function makeCertificates(directory: string): Certificates {
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'rsa:2048', '-noenc', '-keyout'];
  openssl(
    ...['req', '-x509', ...newKey, file('ca.key'), '-out', file('ca.pem'), '-days', '1'],
    ...['-subj', '/CN=coldsnap bench CA', '-addext', 'basicConstraints=critical,CA:TRUE'],
  );
  openssl('req', ...newKey, file('leaf.key'), '-out', file('leaf.csr'), '-subj', '/CN=localhost');
  writeFileSync(file('leaf.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n');
  openssl(
    ...['x509', '-req', '-in', file('leaf.csr'), '-CA', file('ca.pem'), '-CAkey', file('ca.key')],
    ...['-CAcreateserial', '-days', '1', '-extfile', file('leaf.ext'), '-out', file('leaf.pem')],
  );
  rmSync(file('leaf.csr'));
  return { ca: file('ca.pem'), certificate: file('leaf.pem'), key: file('leaf.key') };
}

/** The certificate authorities that connections trust. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { caBundleUnreadable } from './messages.ts';
import { expandHome } from './settings.ts';
import { readVariable, type Variable } from './variables.ts';

/** The system's store: Debian and Alpine, Fedora and Amazon Linux, openSUSE, others. The first that exists is read. */
const systemBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g;

/** Contexts by the settings they were made from. */
const contexts = new Map<string, SecureContext>();

/**
 * The TLS context of all connections. It trusts the authorities of Node, of the system or else of SSL_CERT_FILE and
 * SSL_CERT_DIR, and of NODE_EXTRA_CA_CERTS and AWS_CA_BUNDLE or `ca_bundle`. Made once for each set of them.
 *
 * @param caBundle path from the profile
 * @throws ColdsnapError class `config`, code `CA_BUNDLE_UNREADABLE`: a file that was named cannot be read or has no
 *   certificate
 */
export function tlsContext(caBundle?: string): SecureContext {
  const named = namedFiles(caBundle);
  const directories = readVariable('SSL_CERT_DIR');
  const key = JSON.stringify([named, directories]);
  const known = contexts.get(key);
  if (known !== undefined) return known;
  const pems = named.flatMap(({ origin, path }) => readNamed(origin, path));
  if (directories !== undefined) pems.push(...directories.split(':').flatMap(readDirectory));
  if (directories === undefined && readVariable('SSL_CERT_FILE') === undefined) pems.push(...readSystem());
  const context = createSecureContext();
  // Adding to the default authorities takes 15 ms; a list that replaces them would take 100.
  const store = context.context as { addCACert(pem: string): void };
  for (const pem of unknownOf(pems)) addAuthority(store, pem);
  contexts.set(key, context);
  return context;
}

interface NamedFile {
  readonly origin: string;
  readonly path: string;
}

function namedFiles(caBundle: string | undefined): NamedFile[] {
  const names: Variable[] = ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS', 'AWS_CA_BUNDLE'];
  const files: NamedFile[] = [];
  for (const origin of names) {
    const path = readVariable(origin);
    if (path !== undefined) files.push({ origin, path: expandHome(path) });
  }
  if (caBundle !== undefined && readVariable('AWS_CA_BUNDLE') === undefined) {
    files.push({ origin: 'ca_bundle', path: expandHome(caBundle) });
  }
  return files;
}

function readNamed(origin: string, path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (cause) {
    throw caBundleUnreadable(origin, path, 'cannot be read', cause);
  }
  const found = text.match(CERTIFICATE);
  if (found === null) throw caBundleUnreadable(origin, path, 'has no certificate in PEM form');
  return found;
}

/** Links to the same certificates under other names, and files of other kinds, are common in such directories. */
function readDirectory(directory: string): string[] {
  const names = ignoringErrors(() => readdirSync(directory)) ?? [];
  return names.flatMap(
    (name) => ignoringErrors(() => readNamed('SSL_CERT_DIR', join(directory, name))) ?? [],
  );
}

function readSystem(): string[] {
  for (const path of systemBundles) {
    const pems = ignoringErrors(() => readNamed('system', path));
    if (pems !== undefined) return pems;
  }
  return [];
}

/**
 * Without those that Node trusts anyway: most of the system's, broken into lines of another length. Adding one of them again
 * would only cost time.
 */
function unknownOf(pems: readonly string[]): string[] {
  const compact = (pem: string) => pem.replaceAll('\n', '');
  const seen = new Set(rootCertificates.map(compact));
  return pems.filter((pem) => {
    const text = compact(pem);
    return !seen.has(text) && seen.add(text);
  });
}

/** A certificate that OpenSSL does not accept is skipped, as curl does; the others still count. */
function addAuthority(store: { addCACert(pem: string): void }, pem: string): void {
  ignoringErrors(() => store.addCACert(pem));
}

function ignoringErrors<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

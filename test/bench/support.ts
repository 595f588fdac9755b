/** Requirements of these tests beyond Node. */
import { spawnSync } from 'node:child_process';

/** Why the bench's programs cannot be built, or false. */
export function missing(): string | false {
  if (spawnSync('g++', ['--version']).error) return 'needs g++';
  const header = spawnSync('g++', ['-E', '-x', 'c++', '-'], { input: '#include <openssl/ssl.h>\n' });
  if (header.status !== 0) return 'needs the OpenSSL headers (libssl-dev)';
  return spawnSync('openssl', ['version']).error ? 'needs openssl' : false;
}

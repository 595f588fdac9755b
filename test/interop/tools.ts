/** The other coldsnap, if COLDSNAP_PEER names one. */
import { needsBuild } from '../support/built.ts';
import type { Tool } from '../support/workplace.ts';

const path = process.env.COLDSNAP_PEER ?? '';

export const peer: Tool = { name: 'peer', command: [path] };

/** Options of a test that needs the other tool: it is skipped, with the reason, without one. */
export const needsPeer = { skip: path === '' && 'no other coldsnap: set COLDSNAP_PEER to its path' };
export const needsBoth = { skip: needsPeer.skip || needsBuild.skip || false };

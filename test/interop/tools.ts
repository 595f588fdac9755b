/** The other coldsnap, and whether it is there. */
import { needsBuild } from '../support/built.ts';
import type { Tool } from '../support/workplace.ts';

const path = process.env.COLDSNAP_PEER ?? '';

export const peer: Tool = { name: 'peer', command: [path] };

/** Options of a test that needs the other tool: without it, it is skipped, and says why. */
export const needsPeer = { skip: path === '' && 'no other coldsnap to try: give its path in COLDSNAP_PEER' };
export const needsBoth = { skip: needsPeer.skip || needsBuild.skip || false };

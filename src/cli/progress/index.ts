/** Runs library calls with progress. Loaded only when a command runs. */
export { resultObject, transferSummary, waitObject, waitSummary } from './summary.ts';
export { withProgress } from './with-progress.ts';

/** Runs library calls with progress. Loaded only when a command runs. */
export { resultObject, transferSummary, verifySummary, waitSummary } from './summary.ts';
export { withProgress } from './with-progress.ts';

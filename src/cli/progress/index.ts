/** Runs library calls with progress. Loaded only when a command runs. */
export {
  copyObject,
  copySummary,
  resultObject,
  targetsObject,
  targetsSummary,
  transferSummary,
  verifySummary,
  waitObject,
  waitSummary,
} from './summary.ts';
export { withProgress } from './with-progress.ts';

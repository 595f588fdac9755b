/** Runs library calls with progress. */
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

/** What commands need to run something of the library; loaded only once a command really runs. */
export { resultObject, transferSummary, waitSummary } from './summary.ts';
export { withProgress } from './with-progress.ts';

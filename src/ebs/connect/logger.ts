/** Drops the SDK's log: its warnings are for developers, and would come between our lines or into JSON. */
class QuietLogger {
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(): void {}
}

/** Not named NoOpLogger: the SDK treats a logger of that name as none, and prints. */
export const quietLogger = new QuietLogger();

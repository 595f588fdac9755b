// Runs a command and writes its resource usage, including that of its awaited children, as JSON to descriptor 3.
//
//   measure SECONDS command [arguments]      SECONDS: send SIGTERM after this time; 0 for never
//
// A separate small program, because a child's peak memory starts at that of the process that forked it.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

namespace {

constexpr int kReport = 3;
constexpr time_t kGraceSeconds = 15;

double seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

int fail(const char* what) {
  fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return fputs("usage: measure SECONDS command [arguments]\n", stderr), 1;
  const time_t limit = atol(argv[1]);
  if (fcntl(kReport, F_SETFD, FD_CLOEXEC) != 0) return fail("descriptor 3");
  sigset_t ended, before;
  sigemptyset(&ended);
  sigaddset(&ended, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &ended, &before) != 0) return fail("sigprocmask");

  const double startedAt = seconds(CLOCK_REALTIME), start = seconds(CLOCK_MONOTONIC);
  const pid_t child = fork();
  if (child < 0) return fail("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    execvp(argv[2], argv + 2);
    fail(argv[2]);
    _exit(127);
  }

  int status = 0;
  rusage used{};
  const int signals[] = {SIGTERM, SIGKILL};
  for (int next = 0;;) {
    const pid_t done = wait4(child, &status, limit > 0 && next < 2 ? WNOHANG : 0, &used);
    if (done == child) break;
    if (done < 0 && errno != EINTR) return fail("wait4");
    const timespec patience{next == 0 ? limit : kGraceSeconds, 0};
    if (sigtimedwait(&ended, nullptr, &patience) < 0 && errno == EAGAIN) kill(child, signals[next++]);
  }
  const double wall = seconds(CLOCK_MONOTONIC) - start;
  dprintf(kReport,
          "{\"exitCode\":%d,\"signal\":%d,\"startedAt\":%.6f,\"wallS\":%.6f,\"userS\":%.6f,\"sysS\":%.6f,"
          "\"peakKiB\":%ld,\"switches\":%ld}\n",
          WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0, startedAt, wall,
          seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss, used.ru_nvcsw + used.ru_nivcsw);
  return 0;
}

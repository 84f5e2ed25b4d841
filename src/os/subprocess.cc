#include "os/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/strings.h"
#include "os/file.h"
#include "os/unique_fd.h"

extern "C" char** environ;

namespace pgb::os {
namespace {

constexpr size_t kMaxCapture = 64u << 20;
constexpr int kImageFd = 4;   // the program itself, when it runs as another user
constexpr int kReportFd = 3;  // where the child keeps the pipe to us until exec closes it

// Everything the child needs, made ready before fork: it may not allocate.
struct Plan {
  std::string program;
  std::vector<char*> argv;
  std::vector<std::string> env_text;
  std::vector<char*> envp;
  UniqueFd in, out, err, report;
  UniqueFd image;  // the program, opened by us: another user may be unable to walk to it (a clone in /root)
  const char* cwd = nullptr;
  bool set_uid = false, set_gid = false, new_session = false, own_group = false;
  uid_t uid = 0;
  gid_t gid = 0;
  int pdeathsig = 0;
  pid_t parent = 0;
};

enum class Step : int { kPid, kFork, kFds, kSession, kUser, kCwd, kExec };

struct Report {
  Step step;
  int value;  // errno, or the grandchild's pid for kPid
};

const char* step_text(Step step) {
  switch (step) {
    case Step::kPid: return "report";
    case Step::kFork: return "fork for";
    case Step::kFds: return "set up the descriptors of";
    case Step::kSession: return "make a session for";
    case Step::kUser: return "change to the user of";
    case Step::kCwd: return "enter the working directory of";
    case Step::kExec: return "run";
  }
  return "run";
}

// ---- in the child: async-signal-safe calls only ----

[[noreturn]] void child_fail(int fd, Step step) {
  Report report{step, errno};
  [[maybe_unused]] ssize_t n = ::write(fd, &report, sizeof report);
  ::_exit(127);
}

void close_from(int first) {
  if (::syscall(SYS_close_range, first, ~0u, 0) == 0) return;
  rlimit limit{};
  int last =
      ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? static_cast<int>(limit.rlim_cur) : 65536;
  for (int fd = first; fd < last; ++fd) ::close(fd);
}

void child_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 65; ++signal) ::sigaction(signal, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The bare system calls: the C library's wrappers want to tell all threads, and after a fork they wait for
// ever for threads that are not here.
void child_user(const Plan& plan) {
  bool ok = true;
  if (plan.set_uid && ::geteuid() == 0) ok = ::syscall(SYS_setgroups, 0, nullptr) == 0;
  if (ok && plan.set_gid) ok = ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) == 0;
  if (ok && plan.set_uid) ok = ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) == 0;
  if (!ok) child_fail(kReportFd, Step::kUser);
}

[[noreturn]] void child_main(const Plan& plan) {
  int report = plan.report.get();  // all of the plan's descriptors are above 9
  if (::dup2(plan.in.get(), 0) < 0 || ::dup2(plan.out.get(), 1) < 0 || ::dup2(plan.err.get(), 2) < 0 ||
      ::dup3(report, kReportFd, O_CLOEXEC) < 0) {
    child_fail(report, Step::kFds);
  }
  if (plan.image && ::dup3(plan.image.get(), kImageFd, O_CLOEXEC) < 0) child_fail(report, Step::kFds);
  close_from(plan.image ? kImageFd + 1 : kReportFd + 1);
  if (plan.new_session && ::setsid() < 0) child_fail(kReportFd, Step::kSession);
  if (!plan.new_session && plan.own_group && ::setpgid(0, 0) != 0) child_fail(kReportFd, Step::kSession);
  child_user(plan);
  if (plan.cwd != nullptr && ::chdir(plan.cwd) != 0) child_fail(kReportFd, Step::kCwd);
  if (plan.pdeathsig != 0) {  // after the change of user, which resets it
    ::prctl(PR_SET_PDEATHSIG, plan.pdeathsig);
    if (::getppid() != plan.parent) ::_exit(127);
  }
  child_signals();
  // A script cannot be run by descriptor (its interpreter could not open it): then by path, below.
  if (plan.image) ::syscall(SYS_execveat, kImageFd, "", plan.argv.data(), plan.envp.data(), AT_EMPTY_PATH);
  ::execve(plan.program.c_str(), plan.argv.data(), plan.envp.data());
  child_fail(kReportFd, Step::kExec);
}

// Forks the grandchild, tells its pid and leaves it to init.
[[noreturn]] void child_between(const Plan& plan) {
  pid_t pid = ::_Fork();
  if (pid < 0) child_fail(plan.report.get(), Step::kFork);
  if (pid == 0) child_main(plan);
  Report report{Step::kPid, pid};
  [[maybe_unused]] ssize_t n = ::write(plan.report.get(), &report, sizeof report);
  ::_exit(0);
}

// ---- in the parent ----

// Above 9, so that the child's dup2 never overwrites one that it still needs.
UniqueFd high(UniqueFd fd) { return UniqueFd(fd ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10) : -1); }

Result<UniqueFd> open_output(const SpawnOptions& options, const std::string& path, int inherited) {
  UniqueFd fd;
  if (path.empty() && options.inherit_output) {
    fd = UniqueFd(::fcntl(inherited, F_DUPFD_CLOEXEC, 10));
  } else if (path.empty()) {
    fd = UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  } else {
    fd = UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd && options.uid && ::geteuid() == 0 &&
        ::fchown(fd.get(), *options.uid, options.gid.value_or(static_cast<gid_t>(-1))) != 0) {
      return errno_error("chown", path, errno);
    }
  }
  fd = high(std::move(fd));
  if (!fd) return errno_error("open", path.empty() ? "/dev/null" : path, errno);
  return fd;
}

// The text stands in anonymous memory: nothing has to be fed, and nothing stays on a disk.
Result<UniqueFd> open_input(const std::string& text) {
  if (text.empty()) {
    UniqueFd fd = high(UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    if (!fd) return errno_error("open", "/dev/null", errno);
    return fd;
  }
  UniqueFd fd = high(UniqueFd(::memfd_create("stdin", MFD_CLOEXEC)));
  if (!fd) return errno_error("make", "standard input", errno);
  for (size_t done = 0; done < text.size();) {
    ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
    if (n < 0) return errno_error("fill", "standard input", errno);
    done += static_cast<size_t>(n);
  }
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

struct Pipe {
  UniqueFd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return errno_error("make", "a pipe", errno);
  Pipe pipe{UniqueFd(fds[0]), high(UniqueFd(fds[1]))};
  if (!pipe.write_end) return errno_error("make", "a pipe", errno);
  return pipe;
}

// Every variable of libpq and of the server's programs begins so; PGB… are ours.
bool is_of_libpq(std::string_view entry) { return entry.substr(0, 2) == "PG" && entry.substr(0, 3) != "PGB"; }

void fill_env(Plan& plan, const SpawnOptions& options) {
  auto key_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    bool left_out = options.without_libpq && is_of_libpq(*entry);
    for (const std::string& extra : options.env) left_out = left_out || key_of(extra) == key_of(*entry);
    if (!left_out) plan.env_text.emplace_back(*entry);
  }
  plan.env_text.insert(plan.env_text.end(), options.env.begin(), options.env.end());
  for (std::string& entry : plan.env_text) plan.envp.push_back(entry.data());
  plan.envp.push_back(nullptr);
}

Result<Plan> make_plan(const SpawnOptions& options) {
  if (options.argv.empty()) return Error(Code::kInternal, "no program to run");
  Plan plan;
  auto program = find_program(options.argv[0]);
  if (!program.ok()) return std::move(program).error();
  plan.program = std::move(*program);
  if (options.uid) plan.image = high(UniqueFd(::open(plan.program.c_str(), O_PATH | O_CLOEXEC)));
  for (const std::string& arg : options.argv) plan.argv.push_back(const_cast<char*>(arg.c_str()));
  plan.argv.push_back(nullptr);
  fill_env(plan, options);
  auto in = open_input(options.stdin_text);
  if (!in.ok()) return std::move(in).error();
  plan.in = std::move(*in);
  auto out = open_output(options, options.stdout_file, 1);
  if (!out.ok()) return std::move(out).error();
  plan.out = std::move(*out);
  auto err = open_output(options, options.stderr_file, 2);
  if (!err.ok()) return std::move(err).error();
  plan.err = std::move(*err);
  plan.cwd = options.cwd.empty() ? nullptr : options.cwd.c_str();
  plan.set_uid = options.uid.has_value();
  plan.uid = options.uid.value_or(0);
  plan.set_gid = options.gid.has_value();
  plan.gid = options.gid.value_or(0);
  plan.new_session = options.new_session;
  plan.pdeathsig = options.pdeathsig;
  plan.parent = ::getpid();
  return plan;
}

pid_t wait_for(pid_t pid, int* status) {
  pid_t got;
  do got = ::waitpid(pid, status, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

// All signals are blocked over the fork: one of our handlers must not run in the child.
pid_t fork_into(const Plan& plan, void (*child)(const Plan&)) {
  sigset_t all, old;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  pid_t pid = ::fork();
  if (pid == 0) {
    child(plan);
    ::_exit(127);
  }
  int saved = errno;
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  errno = saved;
  return pid;
}

// Reads the child's reports until exec (or death) closes the pipe.
Status read_reports(int fd, const std::string& program, pid_t* detached) {
  Status status;
  Report report{};
  for (;;) {
    ssize_t n = ::read(fd, &report, sizeof report);
    if (n < 0 && errno == EINTR) continue;
    if (n != static_cast<ssize_t>(sizeof report)) return status;
    if (report.step == Step::kPid) {
      *detached = report.value;
    } else {
      status = errno_error(step_text(report.step), program, report.value);
    }
  }
}

Result<pid_t> start(Plan& plan, bool detached) {
  auto pipe = make_pipe();
  if (!pipe.ok()) return std::move(pipe).error();
  plan.report = std::move(pipe->write_end);
  pid_t pid = fork_into(plan, detached ? child_between : child_main);
  if (pid < 0) return errno_error("fork for", plan.program, errno);
  plan.report.reset();
  plan.in.reset();
  plan.out.reset();
  plan.err.reset();
  pid_t grandchild = 0;
  Status status = read_reports(pipe->read_end.get(), plan.program, &grandchild);
  if (detached || !status.ok()) wait_for(pid, nullptr);
  if (!status.ok()) return std::move(status).error();
  if (detached && grandchild == 0) return Error(Code::kIo, "cannot run " + plan.program + ": it ended at once");
  return detached ? grandchild : pid;
}

// Appends what is there; false at the end of the stream.
bool drain(int fd, std::string& text) {
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    if (text.size() < kMaxCapture) text.append(buffer, static_cast<size_t>(n));
  }
}

struct Capture {
  UniqueFd out, err;  // empty: not captured, or ended
};

// Waits until the child has ended, reading its output; false at the deadline. Does not wait for the end of
// the pipes: a daemon that the child has left behind may hold them for ever.
bool follow(pid_t pid, Capture& capture, RunResult& result, Deadline deadline) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  for (;;) {
    pollfd fds[3] = {{capture.out.get(), POLLIN, 0}, {capture.err.get(), POLLIN, 0}, {pidfd.get(), POLLIN, 0}};
    // Without pidfd (Linux before 5.3) look at the child every 10 ms.
    int wait_ms = pidfd ? deadline.poll_ms() : deadline.sooner(std::chrono::milliseconds(10)).poll_ms();
    ::poll(fds, 3, wait_ms);
    siginfo_t info{};
    bool ended = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
    if (capture.out && !drain(capture.out.get(), result.out)) capture.out.reset();
    if (capture.err && !drain(capture.err.get(), result.err)) capture.err.reset();
    if (ended) return true;
    if (deadline.expired()) return false;
  }
}

Status capture_into(UniqueFd& plan_fd, UniqueFd& read_end) {
  auto pipe = make_pipe();
  if (!pipe.ok()) return std::move(pipe).error();
  plan_fd = std::move(pipe->write_end);
  read_end = std::move(pipe->read_end);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  return {};
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    Error error = errno_error("run", name, errno);
    if (errno == ENOENT) error.code = Code::kNotFound;
    return error;
  }
  const char* path = std::getenv("PATH");
  for (const std::string& dir : split(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    std::string candidate = dir + "/" + name;
    if (!dir.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return Error(Code::kNotFound, "program '" + name + "' is not in PATH");
}

void forget_libpq() {
  std::vector<std::string> names;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (is_of_libpq(text)) names.emplace_back(text.substr(0, text.find('=')));
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

Result<RunResult> run(const SpawnOptions& options, Deadline deadline) {
  auto plan = make_plan(options);
  if (!plan.ok()) return std::move(plan).error();
  plan->own_group = true;
  Capture capture;
  if (options.stdout_file.empty()) PGB_TRY(capture_into(plan->out, capture.out));
  if (options.stderr_file.empty()) PGB_TRY(capture_into(plan->err, capture.err));
  auto pid = start(*plan, false);
  if (!pid.ok()) return std::move(pid).error();
  RunResult result;
  bool ended = follow(*pid, capture, result, deadline);
  if (!ended) ::kill(-*pid, SIGKILL);
  int status = 0;
  if (wait_for(*pid, &status) < 0) return errno_error("wait for", plan->program, errno);
  if (!ended) return Error(Code::kTimeout, plan->program + " did not end in time and was killed");
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

Result<pid_t> spawn(const SpawnOptions& options) {
  auto plan = make_plan(options);
  if (!plan.ok()) return std::move(plan).error();
  return start(*plan, false);
}

Result<pid_t> spawn_detached(const SpawnOptions& options) {
  auto plan = make_plan(options);
  if (!plan.ok()) return std::move(plan).error();
  plan->new_session = true;
  plan->pdeathsig = 0;
  return start(*plan, true);
}

}  // namespace pgb::os

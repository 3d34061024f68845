#include "tests/cli/program_run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

namespace penjing::testing {

namespace {

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

[[noreturn]] void become_program(const ProgramRun& run, const std::string& in, const std::string& out,
                                 const std::string& err) {
  ::dup2(::open(in.c_str(), O_RDONLY), 0);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
  if (run.file_size_limit >= 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const auto limit = static_cast<rlim_t>(run.file_size_limit);
    const rlimit both = {limit, limit};
    ::setrlimit(RLIMIT_FSIZE, &both);
  }
  std::vector<char*> arguments = {const_cast<char*>("penjing")};
  for (const auto& argument : run.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(PENJING_BINARY_DIR "/penjing", arguments.data());
  ::_exit(127);
}

}  // namespace

ProgramResult run_program(const ProgramRun& run) {
  std::string base = ::testing::TempDir() + "/penjing_run_XXXXXX";
  if (::mkdtemp(base.data()) == nullptr) return {};
  const std::string in = base + "/in", err = base + "/err",
                    out = run.output.empty() ? base + "/out" : run.output;
  std::ofstream(in, std::ios::binary) << run.input;
  const pid_t child = ::fork();
  if (child == 0) become_program(run, in, out, err);
  int status = 0;
  bool ended = false;
  if (run.interrupt_when) {
    while (!run.interrupt_when() && !(ended = ::waitpid(child, &status, WNOHANG) == child)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (!ended) ::kill(child, SIGINT);
  }
  if (!ended) ::waitpid(child, &status, 0);
  ProgramResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1 - WTERMSIG(status);
  if (run.output.empty()) result.out = slurp(out);
  result.err = slurp(err);
  for (const auto& name : {in, err, base + "/out"}) std::remove(name.c_str());
  ::rmdir(base.c_str());
  return result;
}

bool holds_checkpoint(const std::filesystem::path& folder) {
  std::error_code gone;  // what a running program removes
  std::filesystem::recursive_directory_iterator it(folder, gone), end;
  for (; !gone && it != end; it.increment(gone)) {
    const std::string name = it->path().filename().string();
    const std::string prefix = "checkpoint-";
    if (name.starts_with(prefix) && name.find_first_not_of("0123456789", prefix.size()) == std::string::npos)
      return true;
  }
  return false;
}

}  // namespace penjing::testing

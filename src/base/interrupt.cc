#include "base/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace penjing {

namespace {
std::atomic<bool> flag{false};

void on_signal(int) {
  // The first signal unwinds normally, so that temporaries are removed; an impatient second one ends at once.
  if (flag.exchange(true)) ::_exit(130);
}
}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() noexcept {
  return flag.load(std::memory_order_relaxed);
}

void check_interrupt() {
  if (interrupted()) throw Interrupted{};
}

}  // namespace penjing

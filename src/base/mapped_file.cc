#include "base/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/error.h"

namespace penjing {

namespace {

// What the signal handler reads: fixed size, lock-free. A slot is in use while `begin` is not 0.
struct Slot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> poisoned{false};
};
constexpr int kMaxMappings = 4096;
std::array<Slot, kMaxMappings> slots;
struct sigaction previous_action;

void chain_to_previous(int signal, siginfo_t* info, void* context) {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN &&
             previous_action.sa_handler != nullptr) {
    previous_action.sa_handler(signal);
  } else {
    // Restore the default and return: the faulting instruction runs again and ends the process as it would
    // have without us.
    ::signal(signal, SIG_DFL);
  }
}

// A page of a mapping lies beyond the end of its file: put a zero page there, so that the load completes, and
// remember. mmap is not on POSIX's list of async-signal-safe functions but is a plain system call on Linux.
void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_acquire)) continue;
    const auto page_size = static_cast<uintptr_t>(::getpagesize());
    void* page = reinterpret_cast<void*>(address / page_size * page_size);
    if (::mmap(page, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
      break;
    slot.poisoned.store(true, std::memory_order_release);
    errno = saved_errno;
    return;
  }
  errno = saved_errno;
  chain_to_previous(signal, info, context);
}

void install_bus_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous_action);
  });
}

int take_slot(const void* data, std::size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  for (int i = 0; i < kMaxMappings; ++i) {
    uintptr_t expected = 0;
    // `end` is 0 in a free slot, so the handler cannot match between the two stores.
    if (slots[i].begin.compare_exchange_strong(expected, begin)) {
      slots[i].poisoned.store(false);
      slots[i].end.store(begin + size, std::memory_order_release);
      return i;
    }
  }
  fail(ErrorKind::kResource, "more than {} files mapped at once", kMaxMappings);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Opens a regular file; O_NONBLOCK so that a FIFO put in its place cannot hang us.
int open_regular(const std::filesystem::path& path, std::size_t& size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd);
    fail(ErrorKind::kIo, "{}: not a regular file", path.string());
  }
  size = static_cast<std::size_t>(status.st_size);
  return fd;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  install_bus_handler();
  std::size_t size = 0;
  const Descriptor descriptor(open_regular(path, size));
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  file->size_ = size;
  if (size == 0) return file;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (data == MAP_FAILED)
    fail(ErrorKind::kIo, "{}: cannot map {} bytes: {}", path.string(), size, std::strerror(errno));
  file->data_ = static_cast<const std::byte*>(data);
  file->slot_ = take_slot(data, size);
  return file;
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  if (slot_ >= 0) slots[slot_].end.store(0, std::memory_order_release);
  ::munmap(const_cast<std::byte*>(data_), size_);
  if (slot_ >= 0) slots[slot_].begin.store(0, std::memory_order_release);
}

bool MappedFile::poisoned() const {
  return slot_ >= 0 && slots[slot_].poisoned.load(std::memory_order_acquire);
}

void MappedFile::check() const {
  if (poisoned()) fail(ErrorKind::kIo, "{}: the file was cut short while it was in use", path_.string());
}

void MappedFile::check_address(const void* address) {
  const auto where = reinterpret_cast<uintptr_t>(address);
  for (const Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || where < begin || where >= slot.end.load(std::memory_order_acquire)) continue;
    if (slot.poisoned.load(std::memory_order_acquire)) {
      fail(ErrorKind::kIo, "a mapped model file was cut short while it was in use");
    }
  }
}

std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  std::size_t size = 0;
  const Descriptor descriptor(open_regular(path, size));
  std::string text;
  // The size may be a lie (/proc) or change: read until the end, within the limit.
  for (;;) {
    const std::size_t have = text.size();
    if (have > max_bytes || size > max_bytes) {
      fail(ErrorKind::kResource, "{}: larger than the {} bytes allowed here", path.string(), max_bytes);
    }
    text.resize(have + (have < size ? size - have + 1 : 4096));
    const ssize_t got = ::read(descriptor.get(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) {
      text.resize(have);
      continue;
    }
    if (got < 0) fail(ErrorKind::kIo, "{}: cannot read: {}", path.string(), std::strerror(errno));
    text.resize(have + static_cast<std::size_t>(got));
    if (got == 0) return text;
  }
}

}  // namespace penjing

#include "train/local_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace penjing::train {

namespace {

struct CloseAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

}  // namespace

std::string local_address_towards(const std::string& address, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  const int status = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (status != 0) fail(ErrorKind::kIo, "MASTER_ADDR {}: {}", address, gai_strerror(status));
  const std::unique_ptr<addrinfo, CloseAddresses> owner(list);
  int problem = 0;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    // Connecting a datagram socket sends nothing: the kernel chooses the route and so the address.
    const int socket = ::socket(one->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0) continue;
    sockaddr_storage mine{};
    socklen_t size = sizeof mine;
    char text[NI_MAXHOST] = "";
    const bool found = ::connect(socket, one->ai_addr, one->ai_addrlen) == 0 &&
                       ::getsockname(socket, reinterpret_cast<sockaddr*>(&mine), &size) == 0 &&
                       ::getnameinfo(reinterpret_cast<const sockaddr*>(&mine), size, text, sizeof text,
                                     nullptr, 0, NI_NUMERICHOST) == 0;
    problem = errno;
    ::close(socket);
    if (found) return text;
  }
  fail(ErrorKind::kIo, "MASTER_ADDR {}: no route to it: {}", address, std::strerror(problem));
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

}  // namespace penjing::train

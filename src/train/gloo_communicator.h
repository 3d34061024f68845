#pragma once

#include <cstdint>
#include <memory>

#include "train/communicator.h"
#include "train/launch_environment.h"

namespace penjing::train {

struct CommunicatorSettings {
  double timeout = 300;                      // seconds that a rank may be late, at the start and later
  int64_t bucket_bytes = int64_t{25} << 20;  // of gradients sent together
};

// Whether the program was built with it; without, make_gloo_communicator throws kUnsupported.
extern const bool kHasGloo;

// Meets the other ranks through a c10d TCPStore that rank 0 holds at launch.address:launch.port and sums over
// Gloo, on the network interface named by GLOO_SOCKET_IFNAME, else that of the route to rank 0. kIo names the
// ranks that did not come in time.
std::unique_ptr<Communicator> make_gloo_communicator(const LaunchEnvironment& launch,
                                                     const CommunicatorSettings& settings);

}  // namespace penjing::train

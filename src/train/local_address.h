#pragma once

#include <string>

namespace penjing::train {

// The address of this machine from which it reaches address:port. kIo when the name is not known or there is
// no route.
std::string local_address_towards(const std::string& address, int port);
bool is_loopback(const std::string& address);
std::string host_name();

}  // namespace penjing::train

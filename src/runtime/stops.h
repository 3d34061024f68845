#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/program.h"

namespace penjing {

// Where some of a batch's tokens may leave a forward: between two steps, when slot x is all that later ones
// read of what is there. In a program it is a tap step at a site of its own, which no tap is asked about.
struct Stop {
  int step = 0, x = 0;
  int64_t layer = 0;  // layers before it
};

std::string stop_site(int64_t layer);  // "exit.2"
bool is_stop_site(const Site& site);
std::vector<Stop> find_stops(const Program& program);  // in the order of the steps

// kUnsupported where later steps read more than a stop's slot.
void check_stops(const Program& program);

}  // namespace penjing

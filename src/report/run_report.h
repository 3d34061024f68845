#pragma once

#include <string>

#include "recipe/run.h"

namespace penjing {

// The steps beside the first model, for people: size, speed, agreement, scores, goals.
std::string run_table(const Recipe& recipe, const RunResult& result);

// The same as JSON (report.json) and as one HTML page with an inline plot of size against quality
// (report.html). The page needs nothing from elsewhere.
Json run_report(const Recipe& recipe, const RunResult& result);
std::string run_page(const Recipe& recipe, const RunResult& result);

}  // namespace penjing

#pragma once

#include "base/json.h"

namespace penjing {

// JSON Schema (2020-12) of a recipe, generated from the registered methods' parameters and the tasks.
Json recipe_schema();

}  // namespace penjing

#pragma once

#include <vector>

#include "model/description.h"

namespace penjing {

// The products of a block with weights, in the order of its parts, a gate last and only where there is one:
// who treats all of them alike asks here, so that a new kind of block is one place.
std::vector<LinearSpec*> linears_of(Block& block);
std::vector<const LinearSpec*> linears_of(const Block& block);

// Its norms: the block itself where it is one, and the one before or behind it.
std::vector<NormSpec*> norms_of(Block& block);
std::vector<const NormSpec*> norms_of(const Block& block);

}  // namespace penjing

#pragma once

#include <cstdint>

#include "kernels/panel.h"

namespace penjing {

// Feature-major panels <-> row-major rows (kernels/panel.h draws the layout).

// Rows [begin, end) of the tokens of `panels` -> rows [end - begin, features].
void panels_to_rows(const float* panels, PanelShape shape, int64_t features, int64_t begin, int64_t end,
                    float* rows);

// Token tokens[i] of `source` becomes token i of `target`, for num_tokens tokens; surplus lanes of the last
// panel become zero.
void gather_tokens(const float* source, PanelShape source_shape, int64_t features, const int64_t* tokens,
                   int64_t num_tokens, float* target);

// Sets the surplus lanes of the last panel to zero.
void clear_surplus_lanes(float* panels, PanelShape shape, int64_t features);

// 16 rows [16][row_stride] -> features [0, features) of 16 lanes of a panel of this width.
void rows_to_lanes(const float* rows, int64_t row_stride, int64_t features, float* lanes, int width);

// Where feature 0 of a token is; feature f is f * width(token / 64) further.
inline int64_t token_offset(int64_t token, int64_t features) {
  const int64_t panel = token / kPanelTokens;
  return panel * kPanelTokens * features + (token - panel * kPanelTokens);
}

}  // namespace penjing

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "model/linear.h"
#include "tests/compress/tiny_model.h"

namespace penjing {
namespace {

struct Weight {
  std::vector<float> before, after;
  int64_t out = 0, in = 0;
};

// The encoder's matrices, by module; every other tensor must be untouched.
std::map<std::string, Weight> compare(const Model& before, const Model& after) {
  std::map<std::string, Weight> weights;
  for (const LinearSpec& spec : encoder_linears(before.description)) {
    const std::string name = spec.name + ".weight";
    weights[spec.name] = {read_floats(before.tensors.at(name), name),
                          read_floats(after.tensors.at(name), name), spec.out, spec.in};
  }
  for (const auto& [name, tensor] : before.tensors) {
    const bool pruned = name.ends_with(".weight") && weights.contains(name.substr(0, name.size() - 7));
    if (!pruned) {
      EXPECT_EQ(read_floats(tensor, name), read_floats(after.tensors.at(name), name)) << name;
    }
  }
  return weights;
}

Json options(const char* pattern, double sparsity) {
  return Json::object({{"pattern", pattern}, {"sparsity", sparsity}});
}

// What is left is unchanged; every block that went has a score no larger than any block that stayed.
void expect_smallest_blocks_gone(const Weight& w, int64_t height, int64_t width, double sparsity) {
  std::vector<double> gone, kept;
  for (int64_t o0 = 0; o0 < w.out; o0 += height) {
    for (int64_t i0 = 0; i0 < w.in; i0 += width) {
      double score = 0;
      int64_t zeros = 0, size = 0;
      for (int64_t o = o0; o < std::min(w.out, o0 + height); ++o) {
        for (int64_t i = i0; i < std::min(w.in, i0 + width); ++i, ++size) {
          const auto at = static_cast<std::size_t>(o * w.in + i);
          score += std::fabs(w.before[at]);
          zeros += w.after[at] == 0 ? 1 : 0;
          EXPECT_TRUE(w.after[at] == 0 || w.after[at] == w.before[at]);
        }
      }
      EXPECT_TRUE(zeros == 0 || zeros == size);
      (zeros == 0 ? kept : gone).push_back(score / static_cast<double>(size));
    }
  }
  EXPECT_EQ(gone.size(), static_cast<std::size_t>(sparsity * static_cast<double>(gone.size() + kept.size())));
  if (!gone.empty() && !kept.empty()) {
    EXPECT_LE(*std::max_element(gone.begin(), gone.end()),
              *std::min_element(kept.begin(), kept.end()) + 1e-7);
  }
}

TEST(PruneMagnitude, TheSmallestBlocksOfEachMatrixGo) {
  const Model model = tiny_classifier();
  for (const double sparsity : {0.0, 0.3, 0.8, 1.0}) {
    for (const auto& [pattern, height, width] :
         {std::tuple("4x1", 4, 1), std::tuple("1x4", 1, 4), std::tuple("unstructured", 1, 1)}) {
      const Applied applied = apply_method("magnitude", model, options(pattern, sparsity));
      for (const auto& [name, weight] : compare(model, applied.model)) {
        SCOPED_TRACE(name + " " + pattern);
        expect_smallest_blocks_gone(weight, height, width, sparsity);
      }
    }
  }
}

TEST(PruneMagnitude, TwoOfEveryFourGo) {
  const Model model = tiny_classifier();
  const Applied applied = apply_method("magnitude", model, options("2:4", 0.9));
  for (const auto& [name, w] : compare(model, applied.model)) {
    for (int64_t o = 0; o < w.out; ++o) {
      for (int64_t i0 = 0; i0 + 4 <= w.in; i0 += 4) {
        const auto at = static_cast<std::size_t>(o * w.in + i0);
        std::vector<float> magnitudes;
        for (std::size_t i = 0; i < 4; ++i) magnitudes.push_back(std::fabs(w.before[at + i]));
        std::sort(magnitudes.begin(), magnitudes.end());
        for (std::size_t i = 0; i < 4; ++i) {
          const bool large = std::fabs(w.before[at + i]) >= magnitudes[2];
          EXPECT_EQ(w.after[at + i], large ? w.before[at + i] : 0.0f) << name;
        }
      }
    }
  }
  EXPECT_NEAR(applied.report.details.find("sparsity")->as_double(""), 0.5, 1e-9);
}

TEST(PruneMagnitude, GlobalScopeTakesFromTheSmallestMatrices) {
  Model model = tiny_classifier();
  const std::string name = "encoder.layer.0.attention.self.query.weight";
  std::vector<float> tiny = read_floats(model.tensors.at(name), name);
  for (float& value : tiny) value *= 1e-3f;
  model.tensors.set(name, Tensor::from_floats(model.tensors.at(name).shape, tiny));
  Json given = options("unstructured", 0.3);
  given.set("scope", "global");
  const auto weights = compare(model, apply_method("magnitude", model, given).model);
  int64_t zeros = 0, all = 0;
  for (const auto& [module, w] : weights) {
    zeros += std::count(w.after.begin(), w.after.end(), 0.0f);
    all += static_cast<int64_t>(w.after.size());
  }
  EXPECT_EQ(zeros, static_cast<int64_t>(0.3 * static_cast<double>(all)));
  const Weight& query = weights.at("encoder.layer.0.attention.self.query");
  EXPECT_EQ(std::count(query.after.begin(), query.after.end(), 0.0f),
            static_cast<std::ptrdiff_t>(query.after.size()));
}

// Wanda: with |x_i| known, the order is that of |w_oi| * norm_i.
TEST(PruneMagnitude, WandaLooksAtTheInputs) {
  const Model model = tiny_classifier();
  const Method* method = find_method("magnitude");
  Json given = options("unstructured", 0.5);
  given.set("score", "wanda");
  MethodContext context;
  MethodReport report;
  EXPECT_THROW((void)method->apply(model, resolve_params(*method, given), context, report), Error);
  const auto norm_of = [](int64_t i) { return i % 2 == 0 ? 10.0f : 0.1f; };
  context.run_calibration = [&](const Model& seen, Tap& tap, std::size_t) {
    for (const LinearSpec& spec : encoder_linears(seen.description)) {
      const std::string site = spec.name + ".in";
      EXPECT_TRUE(tap.wants(site));
      EXPECT_FALSE(tap.wants(spec.name + ".out"));
      std::vector<float> rows(static_cast<std::size_t>(2 * spec.in));
      for (int64_t i = 0; i < spec.in; ++i) rows[static_cast<std::size_t>(i)] = norm_of(i);
      tap.on(site, 0, rows.data(), 2, spec.in);
    }
  };
  const Model pruned = method->apply(model, resolve_params(*method, given), context, report);
  for (const auto& [name, w] : compare(model, pruned)) {
    float largest_gone = 0, smallest_kept = INFINITY;
    for (std::size_t at = 0; at < w.before.size(); ++at) {
      const float score = std::fabs(w.before[at]) * norm_of(static_cast<int64_t>(at) % w.in);
      if (w.after[at] == 0)
        largest_gone = std::max(largest_gone, score);
      else
        smallest_kept = std::min(smallest_kept, score);
    }
    EXPECT_LE(largest_gone, smallest_kept) << name;
  }
}

// Quantizing keeps every zero, with error feedback too.
TEST(PruneMagnitude, ZerosSurviveQuantization) {
  const Model pruned = apply_method("magnitude", tiny_classifier(), options("4x1", 0.6)).model;
  const Model quantized = apply_method("quantize", pruned).model;
  int64_t zeros = 0;
  for (const LinearSpec& spec : encoder_linears(pruned.description)) {
    const std::string name = spec.name + ".weight";
    const auto before = read_floats(pruned.tensors.at(name), name),
               codes = read_floats(quantized.tensors.at(name), name);
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i] != 0) continue;
      EXPECT_EQ(codes[i], 0) << name;
      ++zeros;
    }
  }
  EXPECT_GT(zeros, 0);
}

TEST(PruneMagnitude, RefusesWhatItCannotCompare) {
  EXPECT_THROW(apply_method("magnitude", apply_method("quantize", tiny_classifier()).model), Error);
  Model broken = tiny_classifier();
  const std::string name = "encoder.layer.0.attention.self.query.weight";
  std::vector<float> values = read_floats(broken.tensors.at(name), name);
  values[3] = NAN;
  broken.tensors.set(name, Tensor::from_floats(broken.tensors.at(name).shape, values));
  EXPECT_THROW(apply_method("magnitude", broken), Error);
  Json given = options("4x1", 0.5);
  given.set("exclude", Json(Json::Array{Json("no.such.module")}));
  EXPECT_THROW(apply_method("magnitude", tiny_classifier(), given), Error);
  EXPECT_THROW(apply_method("magnitude", tiny_classifier(), options("4x1", 1.5)), Error);
}

}  // namespace
}  // namespace penjing

#include "compress/sensitivity.h"

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"

namespace penjing {

namespace {

// Enough to order layers: on BERT-base every text more costs 72 forwards.
constexpr std::size_t kTexts = 32;

// Keeps the rows of one site.
class SiteRows : public Tap {
 public:
  explicit SiteRows(std::string site) : site_(std::move(site)) {}
  std::vector<float> rows;
  int64_t dim = 1;
  bool wants(std::string_view site) override { return site == site_; }
  void on(std::string_view, int, const float* values, int64_t num_rows, int64_t width) override {
    rows.insert(rows.end(), values, values + num_rows * width);
    dim = width;
  }

 private:
  std::string site_;
};

// The site whose value is the encoder's output: that of the last block.
std::string output_site(const Description& d) {
  if (d.blocks.empty()) fail(ErrorKind::kUnsupported, "an encoder without blocks has no layer to keep");
  const Block& last = d.blocks.back();
  if (last.norm_place == NormPlace::kPost || last.kind() == BlockKind::kNorm) return last.norm.name + ".out";
  fail(ErrorKind::kUnsupported, "{}: sensitivity is measured behind a closing norm, which is not there",
       last.name);
}

double relative_error(const SiteRows& original, const SiteRows& changed) {
  double sum = 0;
  const auto dim = static_cast<std::size_t>(original.dim);
  for (std::size_t row = 0; row < original.rows.size(); row += dim) {
    double error = 0, whole = 0;
    for (std::size_t i = row; i < row + dim; ++i) {
      const double gap = double{original.rows[i]} - changed.rows[i];
      error += gap * gap;
      whole += double{original.rows[i]} * original.rows[i];
    }
    sum += whole > 0 ? error / whole : 0;
  }
  return sum / static_cast<double>(std::max<std::size_t>(original.rows.size() / dim, 1));
}

}  // namespace

std::vector<std::pair<std::string, double>> measure_sensitivity(
    const Model& model, const std::vector<std::string>& modules, const CalibrationRun& run,
    const std::function<void(Model& copy, const std::string& module)>& change) {
  const std::string site = output_site(model.description);
  SiteRows original(site);
  run(model, original, kTexts);
  if (original.rows.empty()) fail(ErrorKind::kInput, "calibration: no token reached {}", site);
  std::vector<std::pair<std::string, double>> harm;
  Progress progress("sensitivity", static_cast<int64_t>(modules.size()), "modules");
  for (const std::string& module : modules) {
    Model copy = model;
    change(copy, module);
    SiteRows changed(site);
    run(copy, changed, kTexts);
    harm.emplace_back(module, relative_error(original, changed));
    progress.advance();
  }
  std::stable_sort(harm.begin(), harm.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return harm;
}

}  // namespace penjing

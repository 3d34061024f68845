#include "cli/method_context.h"

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "compress/calibration_texts.h"
#include "data/text_lines.h"
#include "runtime/engine.h"
#include "text/tokenizer.h"

namespace penjing::cli {

namespace {

constexpr int64_t kMaxTokens = 256;
constexpr std::size_t kTextsTogether = 8;

}  // namespace

MethodContext make_method_context(const Model& model, const CalibrationSource& options,
                                  std::shared_ptr<ThreadPool> pool) {
  auto texts = std::make_shared<std::vector<std::string>>();
  const auto limit = static_cast<std::size_t>(std::max<int64_t>(options.samples, 1));
  if (options.texts.empty()) {
    const auto own = builtin_calibration_texts();
    texts->assign(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(std::min(limit, own.size())));
  } else {
    TextLines lines(options.texts);
    for (std::string text; texts->size() < limit && lines.next(text);) texts->push_back(text);
    if (texts->empty()) fail(ErrorKind::kInput, "{}: no calibration text in it", options.texts);
  }
  MethodContext context;
  context.statistics = options.statistics;
  context.calibration_source = fmt::format(
      "{} texts {}", texts->size(), options.texts.empty() ? "that ship with Penjing" : "of " + options.texts);
  context.new_predictor = [pool](const Model& subject, OutputKind kind) {
    return Engine::build(subject, {{kind}})->new_session(pool);
  };
  context.run_calibration = [texts, folder = model.folder, pool = std::move(pool)](
                                const Model& subject, Tap& tap, std::size_t max_texts) {
    const auto tokenizer = Tokenizer::load(folder);
    const auto session = Engine::build(subject, {{OutputKind::kHidden}})->new_session(pool);
    EncodeOptions how;
    how.max_length = std::min(kMaxTokens, session->max_length());
    how.ids_only = true;
    const std::size_t count = std::min(texts->size(), max_texts);
    Progress progress("calibration", static_cast<int64_t>(count), "texts");
    for (std::size_t begin = 0; begin < count; begin += kTextsTogether) {
      check_interrupt();
      RaggedBatch batch;
      const std::size_t end = std::min(begin + kTextsTogether, count);
      for (std::size_t i = begin; i < end; ++i) {
        const Encoding encoding = tokenizer->encode((*texts)[i], how);
        batch.append(encoding.ids, encoding.type_ids);
      }
      Request request;
      request.tap = &tap;
      (void)session->predict(batch, request);
      progress.advance(static_cast<int64_t>(end - begin));
    }
  };
  return context;
}

NewPredictor predictor_maker(int threads) {
  return [threads](const Model& model, OutputKind kind) {
    return Engine::build(model, {{kind}})->new_session(std::make_shared<ThreadPool>(threads));
  };
}

}  // namespace penjing::cli

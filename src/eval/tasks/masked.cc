// masked: words of plain text hidden and guessed: accuracy of the first guess, and pseudo-perplexity
// exp(-mean log p(piece | the others)) (Salazar et al. 2020: pieces hidden one at a time). Intervals resample
// texts, because pieces of one text are not independent.
#include <cmath>
#include <memory>

#include "base/error.h"
#include "data/text_lines.h"
#include "eval/evaluation.h"

namespace penjing {

namespace {

struct Counts {
  double pieces = 0, right = 0, log_probability = 0;
};

TaskResult run(const TaskModel& model, const TaskInput& input) {
  if (!model.fill_masks) fail(ErrorKind::kUnsupported, "the model has no masked-word head");
  TextLines lines(find_split(input.data, input.split.empty() ? "test" : input.split).path);
  std::vector<std::string> texts;
  for (std::string text; (input.limit == 0 || texts.size() < input.limit) && lines.next(text);) {
    if (!text.empty()) texts.push_back(text);
  }
  const auto counts = std::make_shared<std::vector<Counts>>();
  TaskResult result;
  std::size_t num_pieces = 0;
  for (const auto& pieces : model.fill_masks(texts, input.mask_every)) {
    Counts sum;
    for (const MaskedPiece& piece : pieces) {
      sum.pieces += 1;
      sum.right += piece.best == piece.truth ? 1 : 0;
      sum.log_probability += piece.log_probability;
      result.outputs.push_back(piece.best);
    }
    num_pieces += pieces.size();
    if (!pieces.empty()) counts->push_back(sum);
  }
  if (counts->empty()) fail(ErrorKind::kInput, "{}: no text in it", input.data.string());
  const auto total = [counts](std::span<const std::size_t> examples) {
    Counts sum;
    for (const std::size_t i : examples) {
      sum.pieces += (*counts)[i].pieces;
      sum.right += (*counts)[i].right;
      sum.log_probability += (*counts)[i].log_probability;
    }
    return sum;
  };
  result.metrics.push_back({"accuracy", [total](std::span<const std::size_t> examples) {
                              const Counts sum = total(examples);
                              return sum.right / sum.pieces;
                            }});
  result.metrics.push_back({"pseudo_perplexity", [total](std::span<const std::size_t> examples) {
                              const Counts sum = total(examples);
                              return std::exp(-sum.log_probability / sum.pieces);
                            }});
  result.num_examples = counts->size();
  result.file = input.data;
  result.reading = "a text a line";
  result.how = input.mask_every == 0
                   ? fmt::format("{} pieces hidden one at a time", num_pieces)
                   : fmt::format("{} pieces, 1 in {} of a text hidden at once", num_pieces, input.mask_every);
  return result;
}

}  // namespace

extern const Task masked_task;
const Task masked_task = {"masked", "mlm", "plain text: accuracy of hidden words, pseudo-perplexity", run};

}  // namespace penjing

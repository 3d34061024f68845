#include "distill/runtime_teacher.h"

namespace penjing::distill {

std::optional<OutputKind> RuntimeTeacher::output_of(const Model& teacher, std::span<const AnswerPart> parts) {
  if (parts.size() != 1 || !teacher.config.contains("quantization_config")) return {};
  if (parts[0].need == kLogits && teacher.description.find_head(HeadKind::kSequenceClassifier) != nullptr) {
    return OutputKind::kClassLogits;
  }
  if (parts[0].need == kEmbeddings && !teacher.sentence.modules.empty()) return OutputKind::kEmbedding;
  return {};
}

RuntimeTeacher::RuntimeTeacher(std::shared_ptr<const Model> model, OutputKind kind,
                               NewPredictor new_predictor)
    : model_(std::move(model)), kind_(kind), new_predictor_(std::move(new_predictor)) {}

Outputs RuntimeTeacher::run(const train::Objective& task, std::span<const int64_t> examples) {
  if (predictor_ == nullptr) predictor_ = new_predictor_(*model_, kind_);
  RaggedBatch batch;
  std::vector<int64_t> prompts;
  std::vector<int32_t> mapped;
  for (const int64_t i : examples) {
    for (const train::Sequence& sequence : task.sequences(i)) {
      mapped = sequence.ids;
      if (!token_map_.empty()) {
        for (int32_t& id : mapped) id = static_cast<int32_t>(token_map_[static_cast<std::size_t>(id)]);
      }
      batch.append(mapped, sequence.types);
      prompts.push_back(sequence.prompt);
    }
  }
  Request request{kind_};
  if (kind_ == OutputKind::kEmbedding) request.prompt_lengths = prompts;
  const Prediction said = predictor_->predict(batch, request);
  const at::Tensor rows = at::tensor(said.values, at::kFloat).view({said.num_rows, said.dim});
  Outputs outputs;
  (kind_ == OutputKind::kEmbedding ? outputs.embeddings : outputs.logits) = rows;
  return outputs;
}

}  // namespace penjing::distill

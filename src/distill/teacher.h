#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "distill/answers.h"
#include "distill/outputs_tap.h"
#include "distill/runtime_teacher.h"
#include "train/objective.h"

namespace penjing::distill {

// A frozen model that says what a student should say, or a file of what one said.
class Teacher {
 public:
  // A model folder. precision: its arithmetic ("bf16" or "fp32"). What it says lies on the device.
  static Teacher of_model(const std::string& name, const std::string& precision,
                          at::Device device = at::kCPU);
  // Logits, scores or embeddings of the examples in their order: .npy [examples, width] (float32 or float64),
  // or .jsonl with a list of numbers, a number, or {"logits" | "scores" | "embedding": ...} a line. kFormat
  // naming the line.
  static Teacher of_file(const std::filesystem::path& file, at::Device device = at::kCPU);
  static bool is_file(const std::string& name);

  // Its word embeddings, and the logits of a masked-LM head, in the order of the student's vocabulary: map[i]
  // is its own number of the student's token i. Once, before it is asked anything.
  void read_tokens(const std::vector<int64_t>& map);
  // From now on the inference runtime is asked (distill/runtime_teacher.h). Before read_tokens() and
  // digest(): other arithmetic, other answers.
  void ask_runtime(NewPredictor new_predictor);

  bool has_model() const { return network_ != nullptr; }
  const Model& model() const { return *model_; }
  const train::Parameters& parameters() const { return network_->parameters; }
  // Width of what a file holds.
  int64_t file_width() const { return file_rows_.size(1); }
  // The same for the same answers: of the weights, or of the file. Taken once.
  const std::string& digest() const;

  // What it says of the examples of one call, in the same forward as the student's: without dropout, with the
  // same random numbers. Never with a gradient.
  Outputs run(const train::Objective& task, const OutputNeeds& needs, const train::ForwardContext& context,
              std::span<const int64_t> examples, int64_t epoch);

  // From now on run() answers from there: what was asked once of every example (ask_all). Not for tasks whose
  // examples change from epoch to epoch.
  void answer_from(std::shared_ptr<const Answers> answers);
  // Asks for the parts of all examples in their order, always in the same batches, since another batch may
  // change the last bits of a product. on_batch gets what it said of the next examples, and their sequences'
  // offsets, and says whether to go on.
  using OnBatch = std::function<bool(const Outputs& outputs, std::span<const int64_t> offsets)>;
  void ask_all(const train::Objective& task, std::span<const AnswerPart> parts,
               const train::ForwardContext& context, const OnBatch& on_batch);
  // Of a file: how many examples there must be. kInput.
  void require_examples(int64_t count) const;

 private:
  std::shared_ptr<Model> model_;
  std::shared_ptr<train::Network> network_;
  std::unique_ptr<train::Arithmetic> arithmetic_;
  std::unique_ptr<RuntimeTeacher> runtime_;  // null: the network is asked
  std::filesystem::path source_;
  mutable std::string digest_;      // empty: not taken yet
  at::Tensor file_rows_;            // of a file of answers: [examples, width], FP32, on the CPU
  std::vector<int64_t> num_heads_;  // of a model's layers, from 1; 0: no attention
  std::shared_ptr<const Answers> answers_;
  at::Device device_ = at::kCPU;
};

}  // namespace penjing::distill

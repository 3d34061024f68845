#include "train/step_dump.h"

#include "base/error.h"
#include "base/output_file.h"
#include "io/safetensors.h"
#include "train/checkpoint.h"

namespace penjing::train {

namespace fs = std::filesystem;

namespace {

Json numbers(std::span<const int32_t> values) {
  Json list = Json::array();
  for (const int32_t value : values) list.push_back(static_cast<int64_t>(value));
  return list;
}

}  // namespace

StepDump::StepDump(fs::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) fail(ErrorKind::kIo, "{}: {}", folder_.string(), error.message());
  if (!fs::is_empty(folder_)) fail(ErrorKind::kInput, "{}: is there already", folder_.string());
}

void StepDump::write_gradients(const Parameters& parameters) const {
  TensorMap gradients;
  for (const Parameters::Entry& entry : parameters) {
    if (entry.tensor.grad().defined()) gradients.set(entry.name, from_torch(entry.tensor.grad()));
  }
  write_safetensors(folder_ / "gradients.safetensors", gradients);
}

void StepDump::write_step(const StepLog& log, std::span<const int64_t> examples, const Objective& objective,
                          const Parameters& parameters) {
  if (log.step == 1) write_safetensors(folder_ / "parameters.safetensors", save_parameters(parameters));
  Json order = Json::array(), ids = Json::array(), types = Json::array();
  for (const int64_t example : examples) {
    order.push_back(example);
    for (const Sequence& sequence : objective.sequences(example)) {
      ids.push_back(numbers(sequence.ids));
      types.push_back(numbers(sequence.types));
    }
  }
  lines_ += Json::object({{"step", log.step},
                          {"loss", log.loss},
                          {"gradient_norm", log.gradient_norm},
                          {"learning_rate", log.learning_rate},
                          {"examples", order},
                          {"ids", ids},
                          {"types", types}})
                .dump() +
            "\n";
  write_text_file(folder_ / "steps.jsonl", lines_);
}

}  // namespace penjing::train

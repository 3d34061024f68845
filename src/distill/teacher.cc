#include "distill/teacher.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "data/npy.h"
#include "data/text_lines.h"
#include "distill/teacher_fit.h"
#include "io/model_folder.h"
#include "train/batches.h"

namespace penjing::distill {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kTokensTogether = 4096;

// A line of a .jsonl of answers.
std::vector<float> read_line(const std::string& text, const std::string& where) {
  const Json line = Json::parse(text, where);
  const Json* values = &line;
  if (line.is_object()) {
    values = nullptr;
    for (const char* key : {"logits", "scores", "score", "embedding"}) {
      if (values == nullptr) values = line.find(key);
    }
    if (values == nullptr) {
      fail(ErrorKind::kFormat, "{}: wanted \"logits\", \"scores\", \"score\" or \"embedding\"", where);
    }
  }
  if (values->is_number()) return {static_cast<float>(values->as_double(where))};
  std::vector<float> row;
  for (const Json& value : values->as_array(where)) row.push_back(static_cast<float>(value.as_double(where)));
  return row;
}

at::Tensor read_jsonl(const fs::path& file) {
  TextLines lines(file, TextLines::Content::kRaw);
  std::vector<float> all;
  std::size_t width = 0;
  int64_t count = 0;
  for (std::string text; lines.next(text);) {
    const std::string where = fmt::format("{}: line {}", file.string(), ++count);
    const std::vector<float> row = read_line(text, where);
    if (count == 1) width = row.size();
    if (row.size() != width || width == 0) {
      fail(ErrorKind::kFormat, "{}: {} numbers, wanted {}", where, row.size(),
           std::max<std::size_t>(width, 1));
    }
    all.insert(all.end(), row.begin(), row.end());
  }
  if (count == 0) fail(ErrorKind::kFormat, "{}: nothing in it", file.string());
  return at::tensor(all, at::kFloat).view({count, static_cast<int64_t>(width)});
}

}  // namespace

Teacher Teacher::of_model(const std::string& name, const std::string& precision, at::Device device) {
  Teacher teacher;
  teacher.device_ = device;
  teacher.source_ = resolve_model(name);
  teacher.model_ = std::make_shared<Model>(read_model(teacher.source_));
  teacher.network_ = std::make_shared<train::Network>();
  teacher.network_->model = teacher.model_.get();
  teacher.network_->parameters = train::load_parameters(*teacher.model_);
  teacher.network_->parameters.move_to(device);
  for (const train::Parameters::Entry& entry : teacher.network_->parameters) {
    at::Tensor tensor = entry.tensor;
    tensor.set_requires_grad(false);
  }
  teacher.network_->encoder =
      std::make_unique<train::Encoder>(teacher.model_->description, teacher.network_->parameters);
  teacher.num_heads_ = shape_of(teacher.model_->description).heads;
  teacher.arithmetic_ = train::make_arithmetic(precision == "bf16" ? "bf16" : "fp32");
  return teacher;
}

void Teacher::ask_runtime(NewPredictor new_predictor) {
  runtime_ = std::make_unique<RuntimeTeacher>(model_, std::move(new_predictor));
}

void Teacher::read_tokens(const std::vector<int64_t>& map) {
  if (runtime_ != nullptr) return runtime_->read_tokens(map);
  const at::NoGradGuard no_gradient;
  const at::Tensor rows = at::tensor(map, at::kLong).to(network_->device());
  const int64_t words = model_->description.embedding.vocab_size;
  const auto reorder = [&](const std::string& name, int64_t of = 0) {
    at::Tensor tensor = network_->parameters.get_or_undefined(name);  // shares what it holds
    if (tensor.defined() && tensor.size(of) == words) tensor.set_data(tensor.index_select(of, rows));
  };
  reorder(model_->description.embedding.word + ".weight");
  for (const HeadSpec& head : model_->description.heads) {
    if (head.kind != HeadKind::kMaskedLm) continue;
    if (!head.tied_to_word_embeddings) reorder(head.projection.name + ".weight");
    reorder(head.projection_rest, 1);
    reorder(head.projection_bias.empty() ? head.projection.name + ".bias" : head.projection_bias);
  }
}

bool Teacher::is_file(const std::string& name) {
  return name.ends_with(".npy") || name.ends_with(".jsonl");
}

Teacher Teacher::of_file(const fs::path& file, at::Device device) {
  Teacher teacher;
  teacher.device_ = device;
  teacher.source_ = file;
  if (file.extension() == ".npy") {
    const NpyMatrix matrix = read_npy(file);
    teacher.file_rows_ = at::tensor(matrix.values, at::kFloat).view({matrix.rows, matrix.columns});
  } else {
    teacher.file_rows_ = read_jsonl(file);
  }
  if (!teacher.file_rows_.isfinite().all().item<bool>()) {
    fail(ErrorKind::kFormat, "{}: a number is not finite", file.string());
  }
  return teacher;
}

void Teacher::answer_from(std::shared_ptr<const Answers> answers) {
  answers_ = std::move(answers);
  if (runtime_ != nullptr) runtime_->release();
}

const std::string& Teacher::digest() const {
  if (digest_.empty()) {
    digest_ = has_model() ? digest_of_weights(*model_, runtime_ != nullptr ? "runtime" : arithmetic_->name())
                          : sha256_file(source_);
  }
  return digest_;
}

void Teacher::require_examples(int64_t count) const {
  if (!has_model() && file_rows_.size(0) != count) {
    fail(ErrorKind::kInput, "{}: {} answers for {} examples", source_.string(), file_rows_.size(0), count);
  }
}

Outputs Teacher::run(const train::Objective& task, const OutputNeeds& needs,
                     const train::ForwardContext& context, std::span<const int64_t> examples, int64_t epoch) {
  if (answers_ != nullptr) return answers_->read(needs, num_heads_, examples, device_);
  if (file_rows_.defined()) {  // whichever a loss asks for
    Outputs outputs;
    const at::Tensor numbers = at::tensor(at::ArrayRef<int64_t>(examples.data(), examples.size()), at::kLong);
    const at::Tensor rows = file_rows_.index_select(0, numbers).to(device_);
    if ((needs.whole & kLogits) != 0) outputs.logits = rows;
    if ((needs.whole & kEmbeddings) != 0) outputs.embeddings = rows;
    return outputs;
  }
  if (runtime_ != nullptr) return runtime_->run(task, needs, examples);
  const at::NoGradGuard no_gradient;
  train::ForwardContext own;
  own.arithmetic = arithmetic_.get();
  own.random = context.random;
  own.progress = context.progress;
  OutputsTap tap(model_->description, needs, nullptr);
  own.tap = &tap;
  (void)task.loss(*network_, own, examples, epoch);
  return tap.take();
}

void Teacher::ask_all(const train::Objective& task, std::span<const AnswerPart> parts,
                      const train::ForwardContext& context, const OnBatch& on_batch) {
  const OutputNeeds needs = needs_of(parts);
  std::vector<int64_t> examples, offsets = {0};
  bool go_on = true;
  Progress progress("teacher", task.num_examples(), "examples");
  const auto flush = [&] {
    if (examples.empty() || !go_on) return;
    check_interrupt();
    const Outputs outputs = run(task, needs, context, examples, 0);
    const at::Tensor& whole = outputs.logits.defined() ? outputs.logits : outputs.embeddings;
    if (whole.defined() && whole.size(0) != static_cast<int64_t>(examples.size())) {
      fail(ErrorKind::kUnsupported,
           "the teacher gives {} rows for {} examples: this task's answers cannot be kept", whole.size(0),
           examples.size());
    }
    go_on = on_batch(outputs, offsets);
    progress.advance(static_cast<int64_t>(examples.size()));
    examples.clear();
    offsets = {0};
  };
  for (int64_t i = 0; i < task.num_examples() && go_on; ++i) {
    const std::span<const train::Sequence> sequences = task.sequences(i);
    int64_t length = 0;
    for (const train::Sequence& sequence : sequences) length += static_cast<int64_t>(sequence.ids.size());
    if (offsets.back() + length > kTokensTogether) flush();
    examples.push_back(i);
    for (const train::Sequence& sequence : sequences)
      offsets.push_back(offsets.back() + static_cast<int64_t>(sequence.ids.size()));
  }
  flush();
}

}  // namespace penjing::distill

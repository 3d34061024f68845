#include "distill/distill.h"

#include "base/error.h"
#include "base/hash.h"
#include "distill/distill_objective.h"
#include "io/model_folder.h"
#include "train/prepared_training.h"

namespace penjing::distill {

namespace fs = std::filesystem;

namespace {

constexpr double kLabelWeight = 0.1, kTeacherWeight = 0.9;  // RepDistiller's of kd

int64_t logits_of(const Model& model) {
  for (const HeadSpec& head : model.description.heads) {
    if (head.has_projection && head.kind != HeadKind::kMaskedLm) return head.projection.out;
  }
  return 0;
}

int64_t embedding_of(const Model& model) {
  int64_t width = model.description.hidden_size;
  for (const SentenceModule& module : model.sentence.modules) {
    if (module.kind == SentenceModule::Kind::kPooling) {
      width *= static_cast<int64_t>(module.pooling.modes.size());
    }
    if (module.kind == SentenceModule::Kind::kDense) width = module.dense.out;
  }
  return width;
}

ModelShape shape_of_model(const Model& model) {
  ModelShape shape = shape_of(model.description);
  shape.logits = logits_of(model);
  shape.embedding = embedding_of(model);
  return shape;
}

// Of a file of answers: as wide as they are, and no layers.
ModelShape shape_of_file(int64_t width) {
  ModelShape shape;
  shape.widths = {0};
  shape.logits = shape.embedding = width;
  return shape;
}

Json default_losses(const ModelShape& student, bool has_logits) {
  Json losses = Json::array();
  if (has_logits && student.logits > 1) {
    losses.push_back(Json::object({{"loss", "kd"}, {"weight", kTeacherWeight}}));
  } else {
    losses.push_back(Json::object({{"loss", "mse"},
                                   {"params", Json::object({{"of", has_logits ? "logits" : "embeddings"}})},
                                   {"weight", kTeacherWeight}}));
  }
  return losses;
}

struct Prepared {
  Teacher teacher;
  ModelShape student, of_teacher;
  Plan plan;
  double label_weight = 0;
};

Prepared read_parts(const DistillSettings& settings, const Model& student, at::Device device) {
  Prepared parts{Teacher::is_file(settings.teacher)
                     ? Teacher::of_file(settings.teacher, device)
                     : Teacher::of_model(settings.teacher, settings.training.loop.precision, device),
                 shape_of_model(student),
                 {},
                 {},
                 0};
  parts.of_teacher = parts.teacher.has_model() ? shape_of_model(parts.teacher.model())
                                               : shape_of_file(parts.teacher.file_width());
  const bool has_logits = parts.student.logits > 0;
  Json losses = settings.losses;
  if (losses.as_array("losses").empty()) losses = default_losses(parts.student, has_logits);
  parts.plan = read_plan(losses, parts.student, parts.of_teacher);
  const bool unlabelled = settings.training.task == "texts";
  parts.label_weight = settings.label_weight >= 0 ? settings.label_weight : unlabelled ? 0 : kLabelWeight;
  return parts;
}

// Same pieces, same numbers: the teacher reads the student's.
void require_same_tokens(const Tokenizer& student, const Tokenizer& teacher) {
  const int64_t count = student.vocab_size();
  bool same = count == teacher.vocab_size();
  for (int64_t id = 0; same && id < count; ++id) {
    same = student.token(static_cast<int32_t>(id)) == teacher.token(static_cast<int32_t>(id));
  }
  if (!same) {
    fail(
        ErrorKind::kUnsupported,
        "teacher and student have different tokenizers; give the teacher's answers as a file (.npy, .jsonl)");
  }
}

// Head and classes of the teacher are those that the student learns.
void require_same_classes(const Model& student, const Model& teacher) {
  if (logits_of(student) != logits_of(teacher)) {
    fail(ErrorKind::kInput, "the teacher has {} outputs, the student {}: was it trained for this task?",
         logits_of(teacher), logits_of(student));
  }
  if (student.id2label.size() == teacher.id2label.size() && student.id2label != teacher.id2label) {
    fail(ErrorKind::kInput,
         "the teacher's classes are in another order, or named otherwise, than the student's");
  }
}

at::Tensor words_of(const train::Parameters& parameters, const Model& model) {
  return parameters.get_or_undefined(model.description.embedding.word + ".weight").detach();
}

// Named by what a teacher's answers as a whole depend on; the origin names the teacher already.
fs::path answers_file(const train::TaskStart& start, unsigned need) {
  const Json key = Json::object({{"teacher", *start.origin.find("teacher")},
                                 {"need", static_cast<int64_t>(need)},
                                 {"task", *start.origin.find("task")},
                                 {"params", *start.origin.find("params")},
                                 {"tokens", *start.origin.find("tokens_sha256")}});
  const std::string text = key.dump();
  return cache_folder() / "teacher" / (sha256_hex(std::as_bytes(std::span(text))) + ".safetensors");
}

// The one thing that all terms read of the teacher, over the whole training: kLogits or kEmbeddings; 0 where
// they read layers, several things, or words.
unsigned only_need(const Plan& plan) {
  unsigned needs = 0;
  for (const LossTerm& term : plan.terms) needs |= term.needs & ~(kLabels | kEqualWidths);
  return needs == kLogits || needs == kEmbeddings ? needs : 0;
}

void prepare(const DistillSettings& settings, train::TaskStart& start) {
  const Model& student = *start.network.model;
  Prepared parts = read_parts(settings, student, start.input.device);
  const bool streams = start.objective->is_stream();
  if (parts.teacher.has_model()) {
    require_same_tokens(start.tokenizer, *Tokenizer::load(parts.teacher.model().folder));
    if (parts.student.logits > 0) require_same_classes(student, parts.teacher.model());
  } else {
    if (streams)
      fail(ErrorKind::kInput, "a stream of texts has no order that a file of answers could follow");
    parts.teacher.require_examples(start.objective->num_examples());
  }
  for (const LossTerm& term : parts.plan.terms) {
    const Json* share = term.params.find("hard_share");
    if (share != nullptr && share->as_double("hard_share") > 0) {
      fail(ErrorKind::kInput, "{}: hard_share: label_weight is the weight of the true words here", term.name);
    }
  }
  if (parts.label_weight > 0 && !start.objective->has_loss()) {
    fail(ErrorKind::kInput, "label_weight {}: these texts have no labels", parts.label_weight);
  }
  start.tell(explain(parts.plan, parts.student, parts.of_teacher));
  start.origin.set("teacher", parts.teacher.digest());
  start.origin.set("losses", to_json(parts.plan));
  start.origin.set("label_weight", parts.label_weight);

  ConnectionSetup setup;
  setup.parameters = &start.network.parameters;
  setup.num_examples = start.objective->num_examples();
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < setup.num_examples; ++i) classes.push_back(start.objective->class_of(i));
  setup.example_labels = classes;
  setup.seed = start.input.seed;
  setup.student_words = words_of(start.network.parameters, student);
  if (parts.teacher.has_model()) {
    setup.teacher_words = words_of(parts.teacher.parameters(), parts.teacher.model());
  }
  const unsigned need = only_need(parts.plan);
  if (need != 0 && !streams && parts.teacher.has_model()) {
    const train::ForwardContext context;
    const fs::path file = settings.keep_answers ? answers_file(start, need) : fs::path();
    parts.teacher.answer_all(*start.objective, need, context, file);
  }
  Connections connections(parts.plan, parts.student, parts.of_teacher, setup);
  if (start.num_ranks > 1 && !connections.sums_over_examples()) {
    fail(ErrorKind::kUnsupported,
         "distillation on several ranks: only with losses that are sums over examples");
  }
  start.objective = std::make_unique<DistillObjective>(std::move(start.objective), std::move(parts.teacher),
                                                       std::move(connections), parts.label_weight);
}

}  // namespace

train::FinetuneResult distill(const DistillSettings& settings,
                              const std::function<void(const std::string&)>& tell,
                              const std::function<void(const train::StepLog&)>& on_step) {
  return train::train_prepared(
      "distill", settings.training, [&](train::TaskStart& start) { prepare(settings, start); }, tell,
      on_step);
}

train::TrainedModel distill_step(const Model& student, const DistillSettings& settings,
                                 const fs::path& folder,
                                 const std::function<void(const std::string&)>& tell) {
  return train::train_prepared_step(
      student, settings.training, [&](train::TaskStart& start) { prepare(settings, start); }, folder, tell);
}

std::string explain(const DistillSettings& settings) {
  const Model student = read_model(resolve_model(settings.training.model));
  const Prepared parts = read_parts(settings, student, at::kCPU);
  return fmt::format("labels: weight {}\n", parts.label_weight) +
         explain(parts.plan, parts.student, parts.of_teacher);
}

}  // namespace penjing::distill

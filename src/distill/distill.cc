#include "distill/distill.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/parse.h"
#include "distill/distill_objective.h"
#include "distill/kept_answers.h"
#include "distill/taught_task.h"
#include "distill/teacher_fit.h"
#include "distill/token_map.h"
#include "io/model_folder.h"
#include "train/matryoshka.h"

namespace penjing::distill {

namespace fs = std::filesystem;

namespace {

constexpr double kLabelWeight = 0.1, kTeacherWeight = 0.9;  // RepDistiller's of kd

ModelShape shape_of_model(const Model& model) {
  ModelShape shape = shape_of(model.description);
  shape.logits = logits_of(model);
  shape.embedding = train::embedding_width(model);
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
  // A table has no layer that could turn its embeddings towards the teacher's: their similarities count.
  if (!has_logits && student.num_layers() == 0) {
    losses.push_back(Json::object({{"loss", "contrastive"}}));
    return losses;
  }
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
  Teachers teachers;
  ModelShape student, of_teacher;
  Plan plan;
  double label_weight = 0;
};

Teachers read_teachers(const DistillSettings& settings, at::Device device) {
  std::vector<Teacher> teachers;
  for (const std::string& name : split_at(settings.teacher, ',')) {
    teachers.push_back(Teacher::is_file(name)
                           ? Teacher::of_file(name, device)
                           : Teacher::of_model(name, settings.training.loop.precision, device));
  }
  return Teachers(std::move(teachers), settings.teacher_weights, settings.gating);
}

ModelShape shape_of_teacher(const Teacher& teacher) {
  return teacher.has_model() ? shape_of_model(teacher.model()) : shape_of_file(teacher.file_width());
}

// Several teachers say one thing together: what they say of an example as a whole, of one width.
void require_one_answer(Teachers& teachers, const Plan& plan) {
  if (teachers.size() == 1) {
    if (teachers.gating() != Gating::kNone) fail(ErrorKind::kInput, "gating: there is one teacher");
    return;
  }
  unsigned needs = 0;
  for (const LossTerm& term : plan.terms) {
    if ((term.needs & ~(kLogits | kEmbeddings | kLabels | kEqualWidths)) != 0) {
      fail(ErrorKind::kInput, "{}: of several teachers only logits and sentence embeddings are learned",
           term.name);
    }
    needs |= term.needs;
  }
  if (teachers.gating() != Gating::kNone && (needs & kLogits) == 0) {
    fail(ErrorKind::kInput, "gating: reads logits, and no loss does");
  }
  const ModelShape first = shape_of_teacher(teachers.first());
  for (const Teacher& teacher : teachers.all()) {
    const ModelShape shape = shape_of_teacher(teacher);
    const auto same = [&](unsigned need, int64_t a, int64_t b, const char* what) {
      if ((needs & need) != 0 && a != b) {
        fail(ErrorKind::kInput, "the teachers have {} of widths {} and {}", what, a, b);
      }
    };
    same(kLogits, first.logits, shape.logits, "logits");
    same(kEmbeddings, first.embedding, shape.embedding, "sentence embeddings");
  }
}

Prepared read_parts(const DistillSettings& settings, const Model& student, at::Device device) {
  Prepared parts{read_teachers(settings, device), shape_of_model(student), {}, {}, 0};
  parts.of_teacher = shape_of_teacher(parts.teachers.first());
  const bool has_logits = parts.student.logits > 0;
  Json losses = settings.losses;
  if (losses.as_array("losses").empty()) losses = default_losses(parts.student, has_logits);
  parts.plan = read_plan(losses, parts.student, parts.of_teacher);
  require_one_answer(parts.teachers, parts.plan);
  const bool unlabelled = settings.training.task == "texts";
  parts.label_weight = settings.label_weight >= 0 ? settings.label_weight : unlabelled ? 0 : kLabelWeight;
  return parts;
}

int64_t longest_sequence(const train::TaskStart& start) {
  if (start.objective->is_stream()) return start.input.max_length;
  int64_t longest = 0;
  for (int64_t i = 0; i < start.objective->num_examples(); ++i) {
    for (const train::Sequence& sequence : start.objective->sequences(i))
      longest = std::max(longest, static_cast<int64_t>(sequence.ids.size()));
  }
  return longest;
}

// The teacher reads the student's tokens.
void share_tokens(const Tokenizer& tokenizer, int64_t longest, bool classifies, Teacher& teacher) {
  const Description& d = teacher.model().description;
  if (const int64_t most = d.max_positions - d.embedding.position.offset; longest > most) {
    fail(ErrorKind::kInput, "a text of {} tokens, the teacher reads {} at most: ask for max_length {}",
         longest, most, most);
  }
  const TokenMap map = map_tokens(tokenizer, *Tokenizer::load(teacher.model().folder));
  if (map.ids.empty()) return;
  if (classifies && !map.pairs) {
    fail(ErrorKind::kUnsupported,
         "the teacher's tokenizer puts pairs of texts together in another way than the student's");
  }
  teacher.read_tokens(map.ids);
}

at::Tensor words_of(const train::Parameters& parameters, const Model& model) {
  return parameters.get_or_undefined(model.description.embedding.word + ".weight").detach();
}

}  // namespace

void add_teacher(const DistillSettings& settings, train::TaskStart& start) {
  const Model& student = *start.network.model;
  Prepared parts = read_parts(settings, student, start.input.device);
  const bool streams = start.objective->is_stream();
  const int64_t longest = longest_sequence(start);
  const std::vector<AnswerPart> wanted = answer_parts(parts.plan);
  for (Teacher& teacher : parts.teachers.all()) {
    if (teacher.has_model()) {
      if (settings.new_predictor && start.input.device.is_cpu() &&
          RuntimeTeacher::can_say(teacher.model(), wanted)) {
        start.tell("the teacher's weights are quantized: the inference runtime asks it\n");
        teacher.ask_runtime(settings.new_predictor);
      }
      share_tokens(start.tokenizer, longest, parts.student.logits > 0, teacher);
      if (parts.student.logits > 0) require_same_classes(student, teacher.model());
      if (streams && teacher.model().description.find_head(HeadKind::kMaskedLm) == nullptr) {
        fail(ErrorKind::kInput,
             "the teacher has no masked-language-model head: it cannot say what was masked");
      }
      continue;
    }
    if (streams)
      fail(ErrorKind::kInput, "a stream of texts has no order that a file of answers could follow");
    teacher.require_examples(start.objective->num_examples());
  }
  for (const LossTerm& term : parts.plan.terms) {
    const Json* share = term.params.find("hard_share");
    if (share != nullptr && share->as_double("hard_share") > 0) {
      fail(ErrorKind::kInput, "{}: hard_share: label_weight is the weight of the true words here", term.name);
    }
  }
  if (streams && has_balance(parts.plan)) {
    fail(ErrorKind::kUnsupported, "balance: of a stream of texts; give the losses' weights");
  }
  if (parts.label_weight > 0 && !start.objective->has_loss()) {
    fail(ErrorKind::kInput, "label_weight {}: these texts have no labels", parts.label_weight);
  }
  start.tell(explain(parts.plan, parts.student, parts.of_teacher));
  start.origin.set("teacher", parts.teachers.origin());
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
  if (parts.teachers.size() == 1 && parts.teachers.first().has_model()) {
    setup.teacher_words = words_of(parts.teachers.first().parameters(), parts.teachers.first().model());
  }
  for (Teacher& teacher : parts.teachers.all()) keep_answers(settings, parts.plan, start, teacher);
  Connections connections(parts.plan, parts.student, parts.of_teacher, setup);
  if (start.num_ranks > 1 && !connections.sums_over_examples()) {
    fail(ErrorKind::kUnsupported,
         "distillation on several ranks: only with losses that are sums over examples");
  }
  start.objective =
      std::make_unique<DistillObjective>(std::move(start.objective), std::move(parts.teachers),
                                         std::move(connections), parts.label_weight, start.tell);
}

train::FinetuneResult distill(const DistillSettings& settings,
                              const std::function<void(const std::string&)>& tell,
                              const std::function<void(const train::StepLog&)>& on_step) {
  return train::train_prepared(
      "distill", settings.training, [&](train::TaskStart& start) { add_teacher(settings, start); }, tell,
      on_step);
}

train::TrainedModel distill_step(const Model& student, const DistillSettings& settings,
                                 const fs::path& folder,
                                 const std::function<void(const std::string&)>& tell) {
  return train::train_prepared_step(
      student, settings.training, [&](train::TaskStart& start) { add_teacher(settings, start); }, folder,
      tell);
}

std::string explain(const DistillSettings& settings) {
  const Model student = read_model(resolve_model(settings.training.model));
  const Prepared parts = read_parts(settings, student, at::kCPU);
  return fmt::format("labels: weight {}\n", parts.label_weight) +
         explain(parts.plan, parts.student, parts.of_teacher);
}

}  // namespace penjing::distill

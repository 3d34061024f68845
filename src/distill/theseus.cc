#include "distill/theseus.h"

#include <algorithm>

#include "base/error.h"
#include "base/text_table.h"
#include "distill/teacher.h"
#include "distill/teacher_fit.h"
#include "distill/theseus_objective.h"
#include "train/prepared_training.h"

namespace penjing::distill {

namespace fs = std::filesystem;

double Replacing::probability(int64_t step, double progress) const {
  if (kind == Kind::kConstant) return progress < share ? rate : 1;
  if (slope > 0) return std::min(1.0, slope * static_cast<double>(step) + rate);
  return progress < share ? rate + (1 - rate) * progress / share : 1;
}

namespace {

std::string describe(const Replacing& replacing, const std::vector<int64_t>& groups) {
  TextTable table({"module", "teacher's layers", "student's layer"}, "rrr");
  int64_t layer = 1;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string own = std::to_string(i + 1);
    table.add_row(
        {own, groups[i] == 1 ? std::to_string(layer) : fmt::format("{}-{}", layer, layer + groups[i] - 1),
         own});
    layer += groups[i];
  }
  const std::string until = fmt::format("{:.0f} % of the steps", 100 * replacing.share);
  if (replacing.kind == Replacing::Kind::kConstant) {
    return table.str() +
           fmt::format("replaced with probability {} for {}, then all\n", replacing.rate, until);
  }
  return table.str() +
         fmt::format("replaced with probability {} at first, rising {}\n", replacing.rate,
                     replacing.slope > 0 ? fmt::format("by {} a step", replacing.slope) : "to 1 in " + until);
}

void prepare(const TheseusSettings& settings, train::TaskStart& start) {
  const Model& student = *start.network.model;
  if (!start.input.device.is_cpu()) fail(ErrorKind::kUnsupported, "theseus: on device cpu only");
  if (start.num_ranks > 1) {
    fail(ErrorKind::kUnsupported, "theseus: in one process only");  // a rank's sum makes of no gradient 0
  }
  if (!start.objective->has_loss()) fail(ErrorKind::kInput, "theseus: these texts have no labels");
  if (Teacher::is_file(settings.teacher)) {
    fail(ErrorKind::kInput, "theseus: {}: the student's layers take the places of a model's",
         settings.teacher);
  }
  const Teacher teacher =
      Teacher::of_model(settings.teacher, settings.training.loop.precision, start.input.device);
  require_same_tokens(start.tokenizer, *Tokenizer::load(teacher.model().folder));
  if (logits_of(student) > 0) require_same_classes(student, teacher.model());
  const std::vector<int64_t> groups =
      layer_groups(settings.groups, student.description.num_layers, teacher.model().description.num_layers);
  ReplaceableModules modules(start.network, teacher.model(), teacher.parameters(), groups);
  start.tell(describe(settings.replacing, groups));

  Json sizes = Json::array();
  for (const int64_t group : groups) sizes.push_back(group);
  const Replacing& replacing = settings.replacing;
  start.origin.set("teacher", teacher.digest());
  start.origin.set("replacing", Json::object({{"groups", sizes},
                                              {"linear", replacing.kind == Replacing::Kind::kLinear},
                                              {"rate", replacing.rate},
                                              {"slope", replacing.slope},
                                              {"share", replacing.share}}));
  start.objective =
      std::make_unique<TheseusObjective>(std::move(start.objective), std::move(modules), replacing);
}

// The training, of layers alone.
train::FinetuneSettings training_of(const TheseusSettings& settings) {
  if (settings.training.fake_quant) {
    fail(ErrorKind::kUnsupported, "theseus: quantize_aware: train the result for it (penjing finetune)");
  }
  train::FinetuneSettings training = settings.training;
  training.loop.rules.only_layers = true;
  return training;
}

}  // namespace

train::FinetuneResult theseus(const TheseusSettings& settings,
                              const std::function<void(const std::string&)>& tell,
                              const std::function<void(const train::StepLog&)>& on_step) {
  return train::train_prepared(
      "theseus", training_of(settings), [&](train::TaskStart& start) { prepare(settings, start); }, tell,
      on_step);
}

train::TrainedModel theseus_step(const Model& student, const TheseusSettings& settings,
                                 const fs::path& folder,
                                 const std::function<void(const std::string&)>& tell) {
  return train::train_prepared_step(
      student, training_of(settings), [&](train::TaskStart& start) { prepare(settings, start); }, folder,
      tell);
}

}  // namespace penjing::distill

#include "distill/mutual.h"

#include <algorithm>

#include "base/error.h"
#include "distill/mutual_objective.h"
#include "distill/teacher_fit.h"
#include "io/model_folder.h"
#include "model/architectures.h"
#include "model/exits.h"
#include "train/prepared_training.h"

namespace penjing::distill {

namespace fs = std::filesystem;

namespace {

fs::path peer_folder(const std::string& out, std::size_t peer) {
  return fmt::format("{}.peer-{}", out, peer + 1);
}

struct Outcome {
  std::vector<double> scores;
  std::size_t best = 0;
};

// The best peer's weights become the model; the others are written where there is a place for them.
void choose_best(const std::vector<double>& scores, std::span<const std::unique_ptr<Peer>> peers,
                 const std::string& beside, Model& model, Outcome& outcome) {
  outcome.scores = scores;
  outcome.best = static_cast<std::size_t>(
      scores.empty() ? 0 : std::max_element(scores.begin(), scores.end()) - scores.begin());
  std::vector<Model> models = {model};
  for (const auto& peer : peers) models.push_back(trained_peer(*peer));
  for (std::size_t i = 0; i < models.size() && !beside.empty(); ++i) {
    const fs::path folder = peer_folder(beside, i);
    fs::remove_all(folder);  // of a run that was killed before its result was written
    if (i != outcome.best) write_model(models[i], folder);
  }
  model = models[outcome.best];
}

void prepare(const MutualSettings& settings, const std::string& beside, train::TaskStart& start,
             Outcome& outcome) {
  if (!start.input.device.is_cpu()) fail(ErrorKind::kUnsupported, "mutual: on device cpu only");
  if (start.num_ranks > 1) fail(ErrorKind::kUnsupported, "mutual: in one process only");
  if (!start.objective->has_loss() || start.objective->is_stream()) {
    fail(ErrorKind::kInput, "mutual: these texts have no labels");
  }
  const Model& first = *start.network.model;
  if (logits_of(first) == 0) {
    fail(ErrorKind::kUnsupported, "mutual: the task has no logits that peers could tell each other");
  }
  if (is_multi_label(first.config) || first.description.find_head(HeadKind::kQuestionAnswering) != nullptr) {
    fail(ErrorKind::kUnsupported, "mutual: the task's logits are not one distribution a row");
  }
  std::vector<std::string> names = settings.others;
  if (names.empty()) names.assign(static_cast<std::size_t>(settings.peers - 1), first.folder.string());
  if (!beside.empty() && !settings.training.resume && !start.is_rehearsal) {
    for (std::size_t i = 0; i <= names.size(); ++i) {
      const fs::path folder = peer_folder(beside, i);
      if (fs::exists(folder)) fail(ErrorKind::kInput, "{} is there already", folder.string());
    }
  }
  std::vector<std::unique_ptr<Peer>> others;
  Json digests = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) {
    Model model = read_model(resolve_model(names[i]));
    drop_exits(model);
    require_same_tokens(start.tokenizer, *Tokenizer::load(model.folder));
    train::ObjectiveInput input = start.input;
    input.seed += i + 1;  // of a fresh head
    (void)train::find_objective(settings.training.task)->make(model, start.tokenizer, input);
    require_same_classes(first, model);
    digests.push_back(digest_of_weights(model));
    others.push_back(make_peer(std::move(model), static_cast<int64_t>(i) + 2, start.network.parameters));
  }
  for (const auto& peer : others) {
    peer->network.model = &peer->model;
    peer->network.parameters = start.network.parameters;  // the same tensors
    peer->network.encoder =
        std::make_unique<train::Encoder>(peer->model.description, peer->network.parameters);
  }
  start.tell(fmt::format("{} peers, {} parameters in all\n", others.size() + 1,
                         start.network.parameters.num_elements()));
  start.origin.set(
      "mutual",
      Json::object({{"peers", digests}, {"weight", settings.weight}, {"temperature", settings.temperature}}));
  start.objective = std::make_unique<MutualObjective>(
      std::move(start.objective), std::move(others), settings.weight, settings.temperature,
      [&outcome, beside](const std::vector<double>& scores, std::span<const std::unique_ptr<Peer>> peers,
                         Model& model) { choose_best(scores, peers, beside, model, outcome); });
}

void require_plain(const train::FinetuneSettings& training) {
  if (training.fake_quant) {
    fail(ErrorKind::kUnsupported, "mutual: quantize_aware: train the result for it (penjing finetune)");
  }
  const train::RuleSettings& rules = training.loop.rules;
  if (rules.freeze_encoder || rules.layer_decay != 1) {
    fail(ErrorKind::kUnsupported, "mutual: freeze_encoder and layer_decay know the first peer alone");
  }
}

}  // namespace

MutualResult mutual(const MutualSettings& settings, const std::function<void(const std::string&)>& tell,
                    const std::function<void(const train::StepLog&)>& on_step) {
  require_plain(settings.training);
  Outcome outcome;
  MutualResult result;
  result.training = train::train_prepared(
      "mutual", settings.training,
      [&](train::TaskStart& start) { prepare(settings, settings.training.out.string(), start, outcome); },
      tell, on_step);
  result.scores = outcome.scores;
  result.best = static_cast<int64_t>(outcome.best);
  return result;
}

train::TrainedModel mutual_step(const Model& student, const MutualSettings& settings, const fs::path& folder,
                                const std::function<void(const std::string&)>& tell) {
  require_plain(settings.training);
  Outcome outcome;
  train::TrainedModel trained = train::train_prepared_step(
      student, settings.training, [&](train::TaskStart& start) { prepare(settings, "", start, outcome); },
      folder, tell);
  Json scores = Json::array();
  for (const double score : outcome.scores) scores.push_back(score);
  trained.details.set("peers", scores);
  trained.details.set("best_peer", static_cast<int64_t>(outcome.best) + 1);
  return trained;
}

}  // namespace penjing::distill

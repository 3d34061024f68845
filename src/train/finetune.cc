#include "train/finetune.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/thread_pool.h"
#include "io/model_folder.h"
#include "model/exits.h"
#include "train/device.h"
#include "train/fake_quant.h"
#include "train/loop.h"
#include "train/prepared_training.h"
#include "train/settings_digest.h"
#include "train/training_folder.h"
#include "train/training_run.h"

namespace penjing::train {

namespace fs = std::filesystem;

namespace {

Json to_json(const FakeQuantSettings& settings) {
  Json exclude = Json::array();
  for (const std::string& module : settings.exclude) exclude.push_back(module);
  return Json::object({{"weight_bits", settings.weight_bits},
                       {"activation_bits", settings.activation_bits},
                       {"weight_per_channel", settings.weight_per_channel},
                       {"weight_learned", settings.weight_learned},
                       {"symmetric", settings.symmetric},
                       {"activations", static_cast<int>(settings.activations)},
                       {"exclude", exclude}});
}

int64_t longest(const Model& model, int64_t wanted) {
  const int64_t most = model.description.max_positions - model.description.embedding.position.offset;
  return std::min(wanted > 0 ? wanted : most, most);
}

at::Device device_of(const FinetuneSettings& settings) {
  return require_device(settings.loop, settings.fake_quant.has_value());
}

}  // namespace

std::unique_ptr<Objective> make_task(const FinetuneSettings& settings, Model& model,
                                     const Tokenizer& tokenizer, ThreadPool& pool, ObjectiveInput& input) {
  const ObjectiveKind* kind = find_objective(settings.task);
  if (kind == nullptr) {
    fail(ErrorKind::kInput, "task \"{}\"; there are: {}", settings.task, objective_names());
  }
  input.data = settings.data;
  input.data.pool = &pool;
  input.train_split = settings.train_split;
  input.eval_split = settings.eval_split;
  input.max_length = longest(model, settings.max_length < 0 ? kind->max_length : settings.max_length);
  input.params = settings.params;
  input.params.set("task", settings.task);
  input.seed = settings.loop.seed;
  input.pool = &pool;
  input.device = device_of(settings);
  return kind->make(model, tokenizer, input);
}

Json describe_origin(const FinetuneSettings& settings, const Objective& objective) {
  std::string tokens, targets;
  for (int64_t i = 0; i < objective.num_examples(); ++i) {
    for (const Sequence& sequence : objective.sequences(i)) {
      tokens.append(reinterpret_cast<const char*>(sequence.ids.data()),
                    sequence.ids.size() * sizeof(int32_t));
      tokens += '\n';
    }
    targets += objective.target(i) + '\0';
  }
  return Json::object({{"model", settings.model},
                       {"task", settings.task},
                       {"params", settings.params},
                       {"examples", objective.num_examples()},
                       {"tokens_sha256", sha256_hex(std::as_bytes(std::span(tokens)))},
                       {"targets_sha256", sha256_hex(std::as_bytes(std::span(targets)))},
                       {"eval_split", settings.eval_split},
                       {"fake_quant", settings.fake_quant ? to_json(*settings.fake_quant) : Json()}});
}

namespace {

TrainedModel train_model(const Model& original, const FinetuneSettings& settings, const PrepareTask& prepare,
                         const TrainingRun& run, const std::function<void(const StepLog&)>& on_step) {
  Model model = original;
  if (drop_exits(model))
    run.tell("the model's exits go: they fit the encoder as it was (penjing byot trains both)\n");
  const auto tokenizer = Tokenizer::load(original.folder);
  ThreadPool pool(run.threads);
  at::set_num_threads(pool.num_threads());

  ObjectiveInput input;
  std::unique_ptr<Objective> objective = make_task(settings, model, *tokenizer, pool, input);
  run.tell(objective->summary());

  Network network;
  network.model = &model;
  network.parameters = load_parameters(model);
  network.encoder = std::make_unique<Encoder>(model.description, network.parameters);
  run.tell(fmt::format("{} parameters in {} tensors\n", network.parameters.num_elements(),
                       network.parameters.size()));

  LoopSettings loop = settings.loop;
  loop.folder = run.folder;
  loop.origin = describe_origin(settings, *objective);
  if (!prepare && !objective->has_loss()) {
    fail(ErrorKind::kInput, "task {}: there is nothing to learn from but a teacher: penjing distill",
         settings.task);
  }
  if (prepare) {
    const int ranks = run.communicator == nullptr ? 1 : run.communicator->size();
    TaskStart start{std::move(objective), network,    *tokenizer, input, run.tell, ranks,
                    loop.rehearsal > 0,   loop.origin};
    prepare(start);
    objective = std::move(start.objective);
  }
  network.parameters.move_to(input.device);  // with those that the method has added
  std::optional<LinearFakeQuantizer> quantizer;
  if (settings.fake_quant) {
    if (run.communicator != nullptr && settings.fake_quant->activations != ActivationRange::kPerToken) {
      fail(ErrorKind::kInput, "quantization-aware training on several ranks: only with ranges of each token");
    }
    quantizer.emplace(model.description, network.parameters, *settings.fake_quant);
    loop.rules.groups.push_back({R"(\.(weight|input)_scale$)", 1, 0, false, true});
  }
  TrainedModel trained;
  trained.loop = train(network, *objective, loop, settings.resume, run.communicator, on_step,
                       quantizer ? &*quantizer : nullptr);
  if (loop.rehearsal > 0) return trained;

  store_parameters(network.parameters, model);
  const std::unique_ptr<Arithmetic> arithmetic = make_arithmetic("fp32");
  ForwardContext context;
  context.arithmetic = arithmetic.get();
  trained.details = Json::object({{"task", settings.task}, {"data", settings.data.data.filename().string()}});
  describe_training(loop, trained.loop, trained.details);
  on_first(run.communicator, [&] {
    objective->finish(network, context, model);
    if (quantizer) model = quantizer->quantized(model);
  });
  trained.model = std::move(model);
  return trained;
}

}  // namespace

FinetuneResult train_prepared(const char* method, const FinetuneSettings& settings,
                              const PrepareTask& prepare, const std::function<void(const std::string&)>& tell,
                              const std::function<void(const StepLog&)>& on_step, const WriteTrained& write) {
  check_device(settings);
  FinetuneResult result;
  const bool rehearses = settings.loop.rehearsal > 0;
  result.training_folder = training_folder(settings.out);
  result.rank = run_in_training_folder(
      {settings.threads, settings.timeout, settings.bucket_bytes}, rehearses ? fs::path() : settings.out,
      settings.resume, tell, [&](const TrainingRun& run) {
        const Model original = read_model(resolve_model(settings.model));
        const TrainedModel trained = train_model(original, settings, prepare, run, on_step);
        if (!rehearses) {
          on_first(run.communicator, [&] {
            write ? write(trained, original) : write_trained_model(trained, original, method, settings.out);
          });
        }
        result.loop = trained.loop;
      });
  return result;
}

TrainedModel train_prepared_step(const Model& original, const FinetuneSettings& settings,
                                 const PrepareTask& prepare, const fs::path& folder,
                                 const std::function<void(const std::string&)>& tell) {
  check_device(settings);
  FinetuneSettings own = settings;
  own.resume = enter_step_folder(folder);
  return train_model(original, own, prepare, {settings.threads, nullptr, folder, tell}, {});
}

FinetuneResult finetune(const FinetuneSettings& settings, const std::function<void(const std::string&)>& tell,
                        const std::function<void(const StepLog&)>& on_step) {
  return train_prepared("finetune", settings, {}, tell, on_step);
}

TrainedModel finetune_step(const Model& original, const FinetuneSettings& settings, const fs::path& folder,
                           const std::function<void(const std::string&)>& tell) {
  return train_prepared_step(original, settings, {}, folder, tell);
}

void check_device(const FinetuneSettings& settings) {
  (void)device_of(settings);
}

std::string objective_names() {
  std::string names;
  for (const ObjectiveKind* kind : all_objectives()) {
    names += (names.empty() ? "" : ", ") + std::string(kind->name);
    if (*kind->aliases != 0) names += fmt::format(" ({})", kind->aliases);
  }
  return names;
}

bool is_objective(const std::string& name) {
  return find_objective(name) != nullptr;
}

}  // namespace penjing::train

#include "distill/multitask.h"

#include "base/error.h"
#include "distill/multitask_objective.h"
#include "distill/taught_task.h"
#include "io/model_folder.h"
#include "train/training_folder.h"

namespace penjing::distill {

namespace fs = std::filesystem;

namespace {

void prepare(const MultitaskSettings& settings, train::TaskStart& start, std::vector<Model>& others) {
  if (!start.input.device.is_cpu()) fail(ErrorKind::kUnsupported, "multitask: on device cpu only");
  if (start.num_ranks > 1) fail(ErrorKind::kUnsupported, "multitask: in one process only");
  const Model student = read_model(start.network.model->folder);
  std::vector<std::unique_ptr<LearnedTask>> tasks;
  Json origins = Json::object();
  for (const TaskOfSeveral& of : settings.tasks) {
    auto task = std::make_unique<LearnedTask>();
    task->name = of.name;
    train::ObjectiveInput input = start.input;
    const bool first = tasks.empty();
    if (first) {
      task->objective = std::move(start.objective);
    } else {
      task->model = student;
      task->objective =
          train::make_task(of.distill.training, task->model, start.tokenizer, *start.input.pool, input);
      start.tell(of.name + ": " + task->objective->summary());
      share_encoder(*task, start.network.parameters);
    }
    if (task->objective->is_stream()) fail(ErrorKind::kUnsupported, "{}: a stream of texts", of.name);
    Json origin = train::describe_origin(of.distill.training, *task->objective);
    if (!of.distill.teacher.empty()) {
      train::TaskStart own{
          std::move(task->objective),
          first ? start.network : task->network,
          start.tokenizer,
          input,
          [tell = start.tell, name = of.name](const std::string& text) { tell(name + ": " + text); },
          start.num_ranks,
          start.is_rehearsal,
          origin};
      add_teacher(of.distill, own);
      task->objective = std::move(own.objective);
    } else if (!task->objective->has_loss()) {
      fail(ErrorKind::kInput, "{}: there is nothing to learn from but a teacher", of.name);
    }
    if (!first) add_own_parameters(*task, start.network.parameters);
    origins.set(of.name, origin);
    tasks.push_back(std::move(task));
  }
  start.origin.set("tasks", origins);
  start.origin.set("size_exponent", settings.size_exponent);
  start.objective = std::make_unique<MultitaskObjective>(
      std::move(tasks), settings.size_exponent,
      [&others](std::vector<Model> models) { others = std::move(models); });
  start.tell(start.objective->summary());
}

// All tasks' models, in a folder that appears when they are there.
void write_all(const MultitaskSettings& settings, const std::vector<Model>& others,
               const train::TrainedModel& trained, const Model& original) {
  const fs::path& out = settings.training.out;
  const fs::path made = train::training_folder(out) / "result";
  fs::remove_all(made);  // of a run that was killed here
  fs::create_directories(made);
  for (std::size_t i = 0; i < settings.tasks.size(); ++i) {
    const TaskOfSeveral& task = settings.tasks[i];
    train::TrainedModel own = trained;
    if (i > 0) own.model = others.at(i - 1);
    own.details.set("task", task.distill.training.task);
    own.details.set("data", task.distill.training.data.data.filename().string());
    train::write_trained_model(own, original, "multitask", made / task.name);
  }
  std::error_code error;
  fs::rename(made, out, error);
  if (error) fail(ErrorKind::kIo, "{}: {}", out.string(), error.message());
}

void require_plain(const MultitaskSettings& settings) {
  if (settings.tasks.size() < 2) fail(ErrorKind::kInput, "multitask: wanted two tasks or more");
  if (settings.training.fake_quant) {
    fail(ErrorKind::kUnsupported, "multitask: quantize_aware: train a result for it (penjing finetune)");
  }
}

}  // namespace

train::FinetuneResult multitask(const MultitaskSettings& settings,
                                const std::function<void(const std::string&)>& tell,
                                const std::function<void(const train::StepLog&)>& on_step) {
  require_plain(settings);
  std::vector<Model> others;
  return train::train_prepared(
      "multitask", settings.training, [&](train::TaskStart& start) { prepare(settings, start, others); },
      tell, on_step,
      [&](const train::TrainedModel& trained, const Model& original) {
        write_all(settings, others, trained, original);
      });
}

train::TrainedModel multitask_step(const Model& student, const MultitaskSettings& settings,
                                   const fs::path& folder,
                                   const std::function<void(const std::string&)>& tell) {
  require_plain(settings);
  std::vector<Model> others;
  return train::train_prepared_step(
      student, settings.training, [&](train::TaskStart& start) { prepare(settings, start, others); }, folder,
      tell);
}

}  // namespace penjing::distill

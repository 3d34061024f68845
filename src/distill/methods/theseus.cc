// theseus: the model's layers replace a teacher's while they learn a task, as a recipe's step;
// distill/theseus.h does the work.
#include "distill/theseus.h"

#include "compress/params.h"
#include "distill/theseus_params.h"

namespace penjing {

namespace {

Model apply(const Model& model, const Json& resolved, MethodContext& context, MethodReport& report) {
  auto params = read_params<distill::TheseusParams>(resolved);
  if (params.teacher.empty()) params.teacher = context.first_model.string();
  distill::TheseusSettings settings = params.settings();
  settings.training.threads = context.threads;
  train::TrainedModel trained = distill::theseus_step(model, settings, context.work_folder, context.note);
  report.details = std::move(trained.details);
  return std::move(trained.model);
}

}  // namespace

extern const Method theseus_method;
const Method theseus_method = {
    "theseus",
    nullptr,
    "the model's layers replace a teacher's, more and more of them",
    "Each layer of the student stands for a group of the teacher's. In every step each group is replaced "
    "with\n"
    "some probability, which rises to 1; the task's loss alone teaches the layers that are in, embeddings "
    "and\n"
    "heads stay the teacher's (Xu et al. 2020, BERT-of-Theseus). As a command: penjing theseus.",
    Needs::kTeacher,
    list_params<distill::TheseusParams>,
    apply};

}  // namespace penjing

#pragma once

#include <string>

#include "cli/loaded_model.h"
#include "eval/evaluation.h"

namespace penjing::cli {

// A loaded model as the tasks of eval/ see it. `label` names the work in progress reports. The model must
// outlive what is returned. dimensions: sentence embeddings are cut to their first ones, and scaled to length
// 1 again where the model normalizes; 0: all. kInput when the model's have fewer.
TaskModel make_task_model(LoadedModel& loaded, const std::string& label, int64_t dimensions = 0);

}  // namespace penjing::cli

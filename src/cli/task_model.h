#pragma once

#include <string>

#include "cli/loaded_model.h"
#include "eval/evaluation.h"

namespace penjing::cli {

// A loaded model as the tasks of eval/ see it. `label` names the work in progress reports. The model must
// outlive what is returned.
TaskModel make_task_model(LoadedModel& loaded, const std::string& label);

}  // namespace penjing::cli

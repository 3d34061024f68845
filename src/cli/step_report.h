#pragma once

#include <string>

#include "numerics/step_diagnosis.h"

namespace penjing::cli {

// A diagnosis of a recorded step (penjing numerics --diagnose) as tables and a verdict in words; the tensors
// that lose most, `tensors` of them.
std::string step_text(const RecordedStep& record, const StepDiagnosis& diagnosis, std::size_t tensors);
Json step_json(const RecordedStep& record, const StepDiagnosis& diagnosis);

}  // namespace penjing::cli

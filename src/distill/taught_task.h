#pragma once

#include "distill/distill.h"
#include "train/prepared_training.h"

namespace penjing::distill {

// Puts a teacher beside the task that is about to be learned: what the plan learns beside the student is
// added to the network's parameters, teacher, plan and weights to the origin. kInput for a plan that does not
// fit.
void add_teacher(const DistillSettings& settings, train::TaskStart& start);

}  // namespace penjing::distill

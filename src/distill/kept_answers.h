#pragma once

#include "distill/distill.h"
#include "distill/plan.h"
#include "distill/teacher.h"
#include "train/prepared_training.h"

namespace penjing::distill {

// Asks the teacher once of every example for all that the plan reads of it, where that can be: not of words
// that are masked anew in every epoch. Kept in the cache, a file a part, so that another run, another plan,
// another student asks for what is missing only; `settings` say whether and how large. What is not kept on
// disk and is larger than logits and embeddings is asked for at every step. Tells what is kept, how large it
// is, and in a rehearsal how long it takes.
void keep_answers(const DistillSettings& settings, const Plan& plan, train::TaskStart& start,
                  Teacher& teacher);

}  // namespace penjing::distill

#include "distill/theseus_params.h"

#include "base/error.h"
#include "base/parse.h"

namespace penjing::distill {

TheseusSettings TheseusParams::settings() const {
  if (teacher.empty()) fail(ErrorKind::kInput, "theseus: no teacher");
  if (replacing == "constant" && schedule.slope != 0) {
    fail(ErrorKind::kInput, "theseus: replacing_slope is of linear replacing");
  }
  TheseusSettings settings;
  settings.training = training.settings();
  settings.teacher = teacher;
  if (!groups.empty()) settings.groups = parse_integers(groups, "groups", 1, 1000);
  settings.replacing = schedule;
  settings.replacing.kind = replacing == "constant" ? Replacing::Kind::kConstant : Replacing::Kind::kLinear;
  return settings;
}

}  // namespace penjing::distill

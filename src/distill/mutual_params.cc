#include "distill/mutual_params.h"

namespace penjing::distill {

MutualSettings MutualParams::settings() const {
  MutualSettings settings;
  settings.training = training.settings();
  settings.peers = peers;
  settings.others = with;
  settings.weight = weight;
  settings.temperature = temperature;
  return settings;
}

}  // namespace penjing::distill

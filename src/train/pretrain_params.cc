#include "train/pretrain_params.h"

#include "base/error.h"

namespace penjing::train {

PretrainSettings PretrainParams::settings() const {
  if (data.empty()) fail(ErrorKind::kInput, "pretrain: no data");
  PretrainSettings settings;
  settings.data = {data.begin(), data.end()};
  settings.eval_data = {eval_data.begin(), eval_data.end()};
  settings.max_length = max_length;
  settings.evaluate = !no_eval;
  settings.params = Json::object({{"document_end", documents},
                                  {"cross_documents", cross_documents},
                                  {"shuffle_size", shuffle},
                                  {"hold_back", hold_back},
                                  {"eval_sequences", eval_sequences},
                                  {"mask_share", mask_share},
                                  {"max_predictions", max_predictions},
                                  {"whole_words", !no_whole_words}});
  if (!mix_vocabulary.empty()) {
    settings.params.set("mix_vocabulary", mix_vocabulary);
    settings.params.set("mix_share", mix_share);
  }
  settings.loop = training.settings();
  if (settings.loop.max_steps == 0) fail(ErrorKind::kInput, "pretrain: no steps: how long to train");
  if (settings.loop.eval_steps == 0) settings.loop.eval_steps = settings.loop.max_steps;
  return settings;
}

}  // namespace penjing::train

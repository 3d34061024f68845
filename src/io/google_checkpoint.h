#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/model.h"

namespace penjing {

// A BERT as Google published it: bert_model.ckpt.{index,data-*} with bert_config.json and vocab.txt, or a
// SavedModel (variables/variables.*, assets/vocab.txt). Every size comes from the shapes; heads = hidden / 64
// unless bert_config.json says otherwise. The result is an ordinary Hugging Face model.
struct GoogleImport {
  Model model;
  std::vector<std::string> read;  // "bert/encoder/layer_0/... -> encoder.layer.0... [768, 768]"
  std::vector<std::string> left;  // what was not used, with the reason
  int64_t parameters = 0;
};
GoogleImport read_google_checkpoint(const std::filesystem::path& folder);

}  // namespace penjing

#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "compress/method.h"
#include "tests/model/tiny_bert.h"

namespace penjing {

// The tiny BERT of tests/model with a pooler and a classifier of three labels, complete.
inline Model tiny_classifier() {
  Model model = tiny_bert();
  Rng rng(11);
  model.tensors.set("pooler.dense.weight", random_tensor({8, 8}, rng));
  model.tensors.set("pooler.dense.bias", random_tensor({8}, rng));
  model.tensors.set("classifier.weight", random_tensor({3, 8}, rng));
  model.tensors.set("classifier.bias", random_tensor({3}, rng));
  model.config.find("architectures")->push_back("BertForSequenceClassification");
  model.config.set("num_labels", 3);
  complete_model(model);
  return model;
}

struct Applied {
  Model model;
  MethodReport report;
};

// Runs a registered method as the command line does: parameters resolved first.
inline Applied apply_method(std::string_view name, const Model& model, const Json& given = Json::object()) {
  const Method* method = find_method(name);
  if (method == nullptr) fail(ErrorKind::kInternal, "no method {}", name);
  MethodContext context;
  Applied applied;
  applied.model = method->apply(model, resolve_params(*method, given), context, applied.report);
  return applied;
}

inline Json string_list(std::initializer_list<const char*> items) {
  Json list = Json::array();
  for (const char* item : items) list.push_back(item);
  return list;
}

// What `act` throws; kInternal with an empty message when it throws nothing.
template <typename Act>
Error error_of(Act act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::kInternal, ""};
}

inline bool says(const Error& error, std::string_view text) {
  return std::string_view(error.what()).find(text) != std::string_view::npos;
}

}  // namespace penjing

#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/engine.h"
#include "tests/model/family_reference.h"
#include "tests/train/gradient_reference.h"
#include "tests/train/tiny_network.h"
#include "train/masked_lm_loss.h"

namespace penjing::testing {

inline Model completed_model(const FamilyReference& reference, const std::string& shape,
                             bool classifies = false) {
  Model model = reference.model(shape, classifies);
  complete_model(model);
  return model;
}

// The mean loss of the reference's masked words.
inline at::Tensor masked_lm_step(const FamilyReference& reference, const train::Network& network,
                                 int64_t slice_rows) {
  static const Forwarding forwarding;
  std::vector<int64_t> rows, labels;
  int64_t token = 0;
  for (std::size_t i = 0; i < reference.num_sequences(); ++i) {
    for (const int32_t label : reference.sequence("labels", i)) {
      if (label >= 0) {
        rows.push_back(token);
        labels.push_back(label);
      }
      ++token;
    }
  }
  const train::PackedBatch packed = pack_numbered(reference.batch());
  const at::Tensor hidden = network.encoder->forward(packed, forwarding.context);
  return train::masked_lm_loss(network.model->description, network.parameters, hidden, packed,
                               at::tensor(rows, at::kLong), at::tensor(labels, at::kLong), forwarding.context,
                               slice_rows) /
         static_cast<double>(rows.size());
}

// Loss and every parameter's gradient are those of transformers.
inline void expect_masked_lm_steps(const FamilyReference& reference) {
  for (const std::string& shape : reference.shapes()) {
    for (const int64_t slice_rows : {0, 4}) {  // 4: logits are made again in the backward
      const Model model = completed_model(reference, shape);
      const auto network = make_network(model);
      const at::Tensor loss = masked_lm_step(reference, *network, slice_rows);
      loss.backward();
      const Json& wanted = reference.shape(shape);
      EXPECT_NEAR(loss.item<double>() / wanted.find("loss")->as_double("loss"), 1, 1e-6);
      expect_gradients(*wanted.find("gradients"), network->parameters, 2e-5, shape);
    }
  }
}

// Hidden states and logits are those of the runtime.
inline void expect_as_runtime(const FamilyReference& reference) {
  for (const std::string& shape : reference.shapes()) {
    for (const bool classifies : {false, true}) {
      const Model model = completed_model(reference, shape, classifies);
      const auto network = make_network(model);
      const Forwarding forwarding;
      const RaggedBatch batch = reference.batch();
      const train::PackedBatch packed = pack_numbered(batch);
      const auto session = Engine::build(model)->new_session(std::make_shared<ThreadPool>(1));
      const at::Tensor hidden = network->encoder->forward(packed, forwarding.context);
      EXPECT_LT(
          relative_error(to_vector(hidden), session->predict(batch, {.kind = OutputKind::kHidden}).values),
          1e-5);
      const auto kind = classifies ? HeadKind::kSequenceClassifier : HeadKind::kMaskedLm;
      const auto output = classifies ? OutputKind::kClassLogits : OutputKind::kMaskedLogits;
      const at::Tensor logits = train::run_head(model.description, network->parameters, kind, hidden, packed,
                                                at::Tensor(), forwarding.context);
      EXPECT_LT(relative_error(to_vector(logits), session->predict(batch, {.kind = output}).values), 1e-5);
    }
  }
}

}  // namespace penjing::testing

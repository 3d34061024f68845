#include "train/step_recorder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "numerics/step_diagnosis.h"
#include "tests/base/test_folder.h"
#include "tests/compress/tiny_model.h"

namespace penjing::train {
namespace {

PackedBatch two_sequences() {
  RaggedBatch batch;
  batch.ids = {2, 5, 7, 3, 2, 9, 3};
  batch.type_ids.assign(7, 0);
  batch.offsets = {0, 4, 7};
  return pack(batch, {0, 1});
}

const RecordedTensor* find(const RecordedStep& record, NumberRole role, const std::string& name) {
  for (const RecordedTensor& t : record.tensors) {
    if (t.role == role && t.name == name) return &t;
  }
  return nullptr;
}

ExponentHistogram by_hand(const at::Tensor& x) {
  ExponentHistogram histogram;
  const at::Tensor values = x.detach().contiguous();
  histogram.add({values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  return histogram;
}

// Keeps what a site shows.
class Keep final : public TensorTap {
 public:
  explicit Keep(std::string site) : site_(std::move(site)) {}
  bool wants(std::string_view site) override { return site == site_; }
  void on(std::string_view, int, const at::Tensor& rows) override {
    value = rows;
    value.retain_grad();
  }
  at::Tensor value;

 private:
  std::string site_;
};

TEST(StepRecorder, RecordsAStep) {
  const Model model = tiny_classifier();
  Parameters parameters = load_parameters(model);
  const Encoder encoder(model.description, parameters);
  auto arithmetic = make_arithmetic("fp32");
  constexpr double kScale = 1024;
  Keep keep("encoder.layer.1.intermediate.dense.out");
  StepRecorder recorder(5, "fp32", kScale, &keep);
  ForwardContext context;
  context.arithmetic = arithmetic.get();
  context.tap = &recorder;
  const PackedBatch batch = two_sequences();
  const at::Tensor hidden = encoder.forward(batch, context);
  const at::Tensor logits = run_head(model.description, parameters, HeadKind::kSequenceClassifier, hidden,
                                     batch, at::Tensor(), context);
  (logits.square().sum() * kScale).backward();
  for (const auto& entry : parameters) {
    at::Tensor gradient = entry.tensor.grad();
    if (gradient.defined()) gradient.div_(kScale);
  }
  recorder.on_gradients(parameters);
  recorder.before_update(parameters);
  const at::Tensor before = parameters.at("classifier.weight").detach().clone();
  {
    at::NoGradGuard guard;
    for (const auto& entry : parameters) {
      at::Tensor tensor = entry.tensor;
      if (tensor.grad().defined()) tensor.sub_(tensor.grad(), 1e-3);
    }
  }
  recorder.after_update(parameters);
  const RecordedStep& record = recorder.record();

  EXPECT_EQ(record.step, 5);
  EXPECT_EQ(record.loss_scale, kScale);
  const RecordedTensor* activation =
      find(record, NumberRole::kActivation, "encoder.layer.1.intermediate.dense.out");
  ASSERT_NE(activation, nullptr);
  EXPECT_EQ(activation->histogram.bins, by_hand(keep.value).bins);
  EXPECT_EQ(activation->layer, "1");
  const RecordedTensor* gradient =
      find(record, NumberRole::kActivationGradient, "encoder.layer.1.intermediate.dense.out");
  ASSERT_NE(gradient, nullptr);
  EXPECT_EQ(gradient->histogram.bins, by_hand(keep.value.grad() / kScale).bins);  // the scale divided out
  const RecordedTensor* weight = find(record, NumberRole::kWeight, "classifier.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->histogram.bins, by_hand(before).bins);
  const RecordedTensor* of_weight = find(record, NumberRole::kWeightGradient, "classifier.weight");
  ASSERT_NE(of_weight, nullptr);
  EXPECT_EQ(of_weight->histogram.bins, by_hand(parameters.at("classifier.weight").grad()).bins);
  const RecordedTensor* update = find(record, NumberRole::kUpdate, "classifier.weight");
  ASSERT_NE(update, nullptr);
  EXPECT_EQ(update->histogram.bins, by_hand(parameters.at("classifier.weight") - before).bins);
  // Updates of at most 1e-3 of small weights: some are lost in BF16.
  EXPECT_GE(update->swamped[1], update->swamped[0]);
  int64_t swamped = 0;
  for (const RecordedTensor& t : record.tensors) swamped += t.swamped[1];
  EXPECT_GT(swamped, 0);
  // Q, K and V read one value: it is recorded at the first, and everything that a layer makes is there.
  EXPECT_NE(find(record, NumberRole::kActivation, "embeddings.LayerNorm.out"), nullptr);
  EXPECT_EQ(find(record, NumberRole::kActivation, "encoder.layer.0.attention.self.key.in"), nullptr);
  EXPECT_NE(find(record, NumberRole::kActivation, "encoder.layer.0.output.dense.in"), nullptr);
  // A parameter that no gradient reached has no update.
  EXPECT_EQ(find(record, NumberRole::kUpdate, "embeddings.none"), nullptr);

  const TestFolder folder("recorder");
  write_step_record(folder.path(), record);
  const RecordedStep read = read_step_record(folder.path(), std::nullopt);
  EXPECT_EQ(read.to_json(), Json::parse(record.to_json().dump(), "record"));
  const StepDiagnosis diagnosis = diagnose(read, "fp16");
  std::vector<std::string> layers;
  for (const LayerDiagnosis& l : diagnosis.layers) layers.push_back(l.layer);
  EXPECT_EQ(layers, (std::vector<std::string>{"embeddings", "0", "1", "head"}));
  EXPECT_TRUE(diagnosis.total.scale.least.has_value());
}

TEST(StepRecorder, AddsUpMicroBatches) {
  const Model model = tiny_classifier();
  Parameters parameters = load_parameters(model);
  const Encoder encoder(model.description, parameters);
  auto arithmetic = make_arithmetic("bf16");
  StepRecorder recorder(1, "bf16", 1);
  ForwardContext context;
  context.arithmetic = arithmetic.get();
  context.tap = &recorder;
  for (int micro = 0; micro < 3; ++micro)
    encoder.forward(two_sequences(), context).to(at::kFloat).sum().backward();
  const std::string site = "encoder.layer.0.output.dense.out";
  EXPECT_EQ(find(recorder.record(), NumberRole::kActivation, site)->histogram.count(), 3 * 7 * 8);
  EXPECT_EQ(find(recorder.record(), NumberRole::kActivationGradient, site)->histogram.count(), 3 * 7 * 8);
  // Left-out step: no updates.
  recorder.on_gradients(parameters);
  recorder.before_update(parameters);
  for (const RecordedTensor& t : recorder.record().tensors) EXPECT_NE(t.role, NumberRole::kUpdate);
}

}  // namespace
}  // namespace penjing::train

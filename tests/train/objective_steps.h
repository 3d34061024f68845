#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "base/thread_pool.h"
#include "io/model_folder.h"
#include "tests/base/test_folder.h"
#include "tests/cli/tiny_folder.h"
#include "train/objective.h"

namespace penjing::train {

// An objective with its model, trained by plain gradient descent: what the tests of objectives do.
class ObjectiveRun {
 public:
  ObjectiveRun(const std::filesystem::path& model_folder, const char* kind, const std::filesystem::path& data,
               const Json& params = Json::object(), const char* eval_split = "dev", std::size_t limit = 0,
               int64_t max_length = 48)
      : model(read_model(model_folder)), tokenizer(Tokenizer::load(model_folder)) {
    ObjectiveInput input;
    input.data.data = data;
    input.data.limit = limit;
    input.eval_split = eval_split;
    input.max_length = max_length;
    input.params = params;
    input.pool = &pool;
    objective = find_objective(kind)->make(model, *tokenizer, input);
    network.model = &model;
    network.parameters = load_parameters(model);
    network.encoder = std::make_unique<Encoder>(model.description, network.parameters);
  }

  ForwardContext context(bool training = false, uint64_t step = 0) {
    ForwardContext context;
    context.arithmetic = arithmetic.get();
    context.training = training;
    context.hidden_dropout = context.attention_dropout = context.classifier_dropout = 0.1;
    context.random = {1, step};
    return context;
  }

  std::vector<int64_t> first(int64_t count) const {
    std::vector<int64_t> examples(static_cast<std::size_t>(std::min(count, objective->num_examples())));
    std::iota(examples.begin(), examples.end(), 0);
    return examples;
  }

  // The mean loss of the examples; gradients are added to the parameters'.
  double backward(const std::vector<int64_t>& examples, bool training = false, uint64_t step = 0) {
    double weight = 0;
    for (const int64_t i : examples) weight += objective->weight(i);
    const at::Tensor mean = objective->loss(network, context(training, step), examples, 0).sum / weight;
    mean.backward();
    return mean.item<double>();
  }

  // Steps of normalized gradient descent on the same examples; returns the losses before each.
  std::vector<double> descend(const std::vector<int64_t>& examples, int steps, double rate) {
    std::vector<double> losses;
    for (int step = 0; step < steps; ++step) {
      network.parameters.zero_gradients();
      losses.push_back(backward(examples));
      const at::NoGradGuard no_gradient;
      double squares = 0;
      for (const auto& entry : network.parameters) {
        if (entry.tensor.grad().defined()) squares += std::pow(entry.tensor.grad().norm().item<double>(), 2);
      }
      for (const auto& entry : network.parameters) {
        at::Tensor tensor = entry.tensor;
        if (tensor.grad().defined()) tensor.sub_(tensor.grad() * (rate / std::max(std::sqrt(squares), 1e-9)));
      }
    }
    return losses;
  }

  std::vector<std::pair<std::string, double>> scores() {
    const TaskResult result = objective->evaluate(network, context());
    std::vector<std::size_t> all(result.num_examples);
    std::iota(all.begin(), all.end(), std::size_t{0});
    std::vector<std::pair<std::string, double>> values;
    for (const Metric& metric : result.metrics) values.emplace_back(metric.name, metric.value(all));
    return values;
  }
  double main_score() { return scores().front().second; }

  Model model;
  std::shared_ptr<const Tokenizer> tokenizer;
  ThreadPool pool{2};
  std::unique_ptr<Arithmetic> arithmetic = make_arithmetic("fp32");
  std::unique_ptr<Objective> objective;
  Network network;
};

// MiniLM, or an empty path where it is not.
inline std::filesystem::path minilm_folder() {
  const auto folder = cache_folder() / "models" / "minilm";
  return std::filesystem::exists(folder / "config.json") ? folder : std::filesystem::path();
}
inline std::filesystem::path shared_data() {
  const char* named = std::getenv("PENJING_DATA");
  return named != nullptr ? std::filesystem::path(named)
                          : std::filesystem::path(PENJING_SOURCE_DIR) / ".." / "shared" / "data";
}

}  // namespace penjing::train

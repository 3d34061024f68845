// One training step (forward, backward, AdamW) of our encoder against LibTorch's own nn::TransformerEncoder
// (post-norm, GELU, dropout 0.1) under the same embeddings, optimised by torch::optim::AdamW, in rounds that
// alternate in one process. Work: random ids of equal lengths, so that stock pads nothing; and texts of real
// data in file order, which stock gets padded to the longest of the batch with its key padding mask, while
// ours are packed.
//
// usage: train_speed [--model minilm|bert] [--precision fp32|bf16] [--length 128 | --data FOLDER --tokenizer
//        FOLDER] [--batch 32] [--rounds 5] [--threads 0] [--only ours|stock]
// Prints seconds a step of each (the median of the rounds, with the least and the most) and their ratio.
// bf16: CPU autocast for stock, which then takes no padding mask (LibTorch 1.13: masked_fill is not
// implemented for BFloat16), so that real data is compared in fp32.
#include <ATen/autocast_mode.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "model/architectures.h"
#include "text/tokenizer.h"
#include "train/encoder.h"
#include "train/optimizer.h"

namespace penjing::train {
namespace {

struct Size {
  int64_t layers, hidden, heads, intermediate;
};
constexpr int64_t kVocab = 30522, kPositions = 512;

struct Options {
  std::map<std::string, std::string> values = {{"model", "minilm"}, {"precision", "fp32"}, {"length", "128"},
                                               {"data", ""},        {"tokenizer", ""},     {"batch", "32"},
                                               {"rounds", "5"},     {"threads", "0"},      {"only", ""}};
  const std::string& operator[](const std::string& name) const { return values.at(name); }
  int64_t number(const std::string& name) const { return std::stoll(values.at(name)); }
};

Options read_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    const std::string name = std::string(words[i]).substr(0, 2) == "--" ? words[i] + 2 : "";
    if (!options.values.contains(name) || i + 1 == count) {
      fail(ErrorKind::kInput, "\"{}\" is no option of train_speed, or has no value", words[i]);
    }
    options.values[name] = words[i + 1];
  }
  return options;
}

// A step's sequences.
using Batch = std::vector<std::vector<int32_t>>;

std::vector<Batch> random_batches(int64_t size, int64_t length) {
  Rng rng(1);
  Batch batch;
  for (int64_t s = 0; s < size; ++s) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(1000 + rng.below(20000)));
    batch.push_back(ids);
  }
  return {batch};
}

// Of the training split, in file order: batches from evenly spread places.
std::vector<Batch> real_batches(const Options& options, int64_t size) {
  const auto tokenizer = Tokenizer::load(options["tokenizer"]);
  const Dataset data = read_dataset(find_split(options["data"], "train"));
  constexpr int64_t kBatches = 6;
  const int64_t apart = (static_cast<int64_t>(data.examples.size()) - size) / kBatches;
  std::vector<Batch> batches;
  for (int64_t b = 0; b < kBatches; ++b) {
    Batch batch;
    for (int64_t i = b * apart; i < b * apart + size; ++i) {
      const Example& example = data.examples[static_cast<std::size_t>(i)];
      EncodeOptions limits;
      limits.max_length = 128;
      const Encoding encoding = data.pairs ? tokenizer->encode_pair(example.text, example.pair, limits)
                                           : tokenizer->encode(example.text, limits);
      batch.push_back(encoding.ids);
    }
    batches.push_back(batch);
  }
  return batches;
}

class Trainer {
 public:
  virtual ~Trainer() = default;
  virtual void step(const Batch& batch) = 0;
};

// The loss of both: mean square of the output, whose gradient is dense.
at::Tensor loss_of(const at::Tensor& rows) {
  return rows.to(at::kFloat).square().mean();
}

class Ours final : public Trainer {
 public:
  Ours(const Size& size, const std::string& precision)
      : arithmetic_(make_arithmetic(precision)), optimizer_(make_optimizer({})) {
    const Json config =
        Json::parse(fmt::format(R"({{"model_type": "bert", "hidden_size": {}, "num_attention_heads": {},
            "intermediate_size": {}, "num_hidden_layers": {}, "vocab_size": {}, "max_position_embeddings": {},
            "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-5}})",
                                size.hidden, size.heads, size.intermediate, size.layers, kVocab, kPositions),
                    "config.json");
    description_ = find_architecture("bert")->describe(config, {});
    const auto weight = [&](const std::string& name, std::vector<int64_t> shape) {
      parameters_.add(name, torch::randn(shape) * 0.02);
    };
    const auto norm = [&](const std::string& name) {
      parameters_.add(name + ".weight", torch::ones({size.hidden}));
      parameters_.add(name + ".bias", torch::zeros({size.hidden}));
    };
    const auto linear = [&](const LinearSpec& spec) {
      weight(spec.name + ".weight", {spec.out, spec.in});
      parameters_.add(spec.name + ".bias", torch::zeros({spec.out}));
    };
    weight(description_.embedding.word + ".weight", {kVocab, size.hidden});
    weight(description_.embedding.position.name + ".weight", {kPositions, size.hidden});
    weight(description_.embedding.token_type + ".weight", {2, size.hidden});
    norm(description_.embedding.norm.name);
    for (const Block& block : description_.blocks) {
      if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
        for (const auto* spec : {&attention->query, &attention->key, &attention->value, &attention->output})
          linear(*spec);
      } else if (const auto* feed_forward = std::get_if<FeedForwardSpec>(&block.part)) {
        linear(feed_forward->up), linear(feed_forward->down);
      }
      norm(block.norm.name);
    }
    rules_.resize(parameters_.size(), {1, 0.01, false});
    encoder_ = std::make_unique<Encoder>(description_, parameters_);
  }

  void step(const Batch& sequences) override {
    RaggedBatch ragged;
    std::vector<int64_t> samples;
    for (const auto& ids : sequences) {
      ragged.append(ids);
      samples.push_back(static_cast<int64_t>(samples.size()));
    }
    const PackedBatch batch = pack(ragged, samples);
    ForwardContext context;
    context.arithmetic = arithmetic_.get();
    context.training = true;
    context.hidden_dropout = context.attention_dropout = 0.1;
    context.random = {1, step_++};
    loss_of(encoder_->forward(batch, context)).backward();
    optimizer_->step(parameters_, rules_, 1e-5, 1);
    parameters_.zero_gradients();
  }

 private:
  std::unique_ptr<Arithmetic> arithmetic_;
  std::unique_ptr<Optimizer> optimizer_;
  Description description_;
  Parameters parameters_;
  std::vector<ParameterRule> rules_;
  std::unique_ptr<Encoder> encoder_;
  uint64_t step_ = 0;
};

struct StockModelImpl : torch::nn::Module {
  explicit StockModelImpl(const Size& size)
      : word(register_module("word", torch::nn::Embedding(kVocab, size.hidden))),
        position(register_module("position", torch::nn::Embedding(kPositions, size.hidden))),
        type(register_module("type", torch::nn::Embedding(2, size.hidden))),
        norm(register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({size.hidden})))),
        dropout(register_module("dropout", torch::nn::Dropout(0.1))),
        encoder(register_module("encoder",
                                torch::nn::TransformerEncoder(
                                    torch::nn::TransformerEncoderLayer(
                                        torch::nn::TransformerEncoderLayerOptions(size.hidden, size.heads)
                                            .dim_feedforward(size.intermediate)
                                            .dropout(0.1)
                                            .activation(torch::kGELU)),
                                    size.layers))) {}

  at::Tensor forward(const at::Tensor& ids, const at::Tensor& padding) {  // [length, batch]; [batch, length]
    const at::Tensor positions = torch::arange(ids.size(0), torch::kLong).unsqueeze(1);
    const at::Tensor x = word(ids) + position(positions) + type(torch::zeros_like(ids));
    return encoder(dropout(norm(x)), at::Tensor(), padding);
  }

  torch::nn::Embedding word, position, type;
  torch::nn::LayerNorm norm;
  torch::nn::Dropout dropout;
  torch::nn::TransformerEncoder encoder;
};
TORCH_MODULE(StockModel);

class Stock final : public Trainer {
 public:
  Stock(const Size& size, const std::string& precision)
      : model_(size),
        bf16_(precision == "bf16"),
        optimizer_(model_->parameters(), torch::optim::AdamWOptions(1e-5).weight_decay(0.01)) {
    model_->train();
  }

  void step(const Batch& sequences) override {
    std::size_t longest = 0;
    bool ragged = false;
    for (const auto& ids : sequences) {
      ragged = ragged || ids.size() != sequences.front().size();
      longest = std::max(longest, ids.size());
    }
    const auto size = static_cast<int64_t>(sequences.size()), length = static_cast<int64_t>(longest);
    at::Tensor ids = torch::zeros({size, length}, torch::kLong);
    at::Tensor padding = torch::ones({size, length}, torch::kBool);
    for (int64_t s = 0; s < size; ++s) {
      const auto& sequence = sequences[static_cast<std::size_t>(s)];
      for (std::size_t i = 0; i < sequence.size(); ++i) {
        ids.data_ptr<int64_t>()[s * length + static_cast<int64_t>(i)] = sequence[i];
        padding.data_ptr<bool>()[s * length + static_cast<int64_t>(i)] = false;
      }
    }
    optimizer_.zero_grad();
    at::autocast::set_cpu_enabled(bf16_);
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::Tensor loss = loss_of(model_(ids.t().contiguous(), ragged ? padding : at::Tensor()));
    at::autocast::set_cpu_enabled(false);
    at::autocast::clear_cache();
    loss.backward();
    optimizer_.step();
  }

 private:
  StockModel model_;
  bool bf16_;
  torch::optim::AdamW optimizer_;
};

// Of one step: elapsed, and of all threads together. The second is what counts beside other programs, as long
// as waiting threads sleep (OMP_WAIT_POLICY=passive).
struct Times {
  double elapsed = 0, cpu = 0;
};
Times times_of(Trainer& trainer, const std::vector<Batch>& batches) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  for (const Batch& batch : batches) trainer.step(batch);
  const auto steps = static_cast<double>(batches.size());
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / steps,
          static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC / steps};
}

std::string describe(std::vector<double> values, const char* form) {
  std::sort(values.begin(), values.end());
  const double middle = (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
  return fmt::format(fmt::runtime(form), middle, values.front(), values.back());
}

int run(const Options& options) {
  if (options.number("threads") > 0) at::set_num_threads(static_cast<int>(options.number("threads")));
  const Size size = options["model"] == "bert" ? Size{12, 768, 12, 3072} : Size{6, 384, 12, 1536};
  const std::vector<Batch> batches = options["data"].empty()
                                         ? random_batches(options.number("batch"), options.number("length"))
                                         : real_batches(options, options.number("batch"));
  torch::manual_seed(1);
  Ours ours(size, options["precision"]);
  Stock stock(size, options["precision"]);
  std::vector<double> our_times, stock_times, ratios, cpu_ratios;
  for (int64_t round = -1; round < options.number("rounds"); ++round) {  // the first warms up
    const Times a = options["only"] == "stock" ? Times{} : times_of(ours, batches);
    const Times b = options["only"] == "ours" ? Times{} : times_of(stock, batches);
    if (round < 0) continue;
    our_times.push_back(a.elapsed), stock_times.push_back(b.elapsed);
    ratios.push_back(b.elapsed / a.elapsed), cpu_ratios.push_back(b.cpu / a.cpu);
  }
  const std::string work = options["data"].empty() ? "length " + options["length"] : options["data"];
  constexpr const char* kSeconds = "{:.3f} s ({:.3f} to {:.3f})";
  constexpr const char* kRatio = "{:.2f} ({:.2f} to {:.2f})";
  fmt::print("{} {} {} batch {} threads {}: ours {}, stock {}, ratio {}, of CPU time {}\n", options["model"],
             options["precision"], work, options["batch"], at::get_num_threads(),
             describe(our_times, kSeconds), describe(stock_times, kSeconds), describe(ratios, kRatio),
             describe(cpu_ratios, kRatio));
  return 0;
}

}  // namespace
}  // namespace penjing::train

int main(int count, char** words) {
  try {
    return penjing::train::run(penjing::train::read_options(count, words));
  } catch (const std::exception& error) {
    fmt::print(stderr, "train_speed: {}\n", error.what());
    return 1;
  }
}

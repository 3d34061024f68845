#pragma once

// The embedding API: use a model from another C++ program. Nothing of Penjing's inside shows here.
//
//   penjing::Encoder encoder("path/to/minilm-int8");
//   std::vector<std::vector<float>> vectors = encoder.encode({"A cat sits.", "A kitten sat."});
//
// Link with penjing::penjing (find_package(penjing)).

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace penjing {

// Everything that goes wrong: the message names file, tensor or field, what was found and what was wanted.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct EncoderOptions {
  int threads = 0;             // 0: all that the process may use
  std::size_t max_length = 0;  // tokens a text, the rest is cut; 0: the model's own limit
};

// A loaded model. One call at a time; make one Encoder a thread, or guard it. A text's result never depends
// on the others of the same call, bit for bit.
class Encoder {
 public:
  // `model`: a folder, a repository id in the Hugging Face cache, or a name in $PENJING_CACHE/models. Throws
  // Failure.
  explicit Encoder(const std::string& model, const EncoderOptions& options = {});
  ~Encoder();
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;

  // Sentence embeddings, in the order of the texts; the model's default prompt, if it has one, is put before
  // each. Throws Failure, also for a model without pooling.
  std::vector<std::vector<float>> encode(const std::vector<std::string>& texts);
  // Classes with their scores, best first, a list a text. Throws Failure for a model without a classifier.
  std::vector<std::vector<std::pair<std::string, double>>> classify(const std::vector<std::string>& texts);
  std::size_t dimension() const;  // of encode()'s vectors; 0 for a model without pooling

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penjing

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/thread_pool.h"
#include "predict/predictor.h"
#include "text/tokenizer.h"

// Texts out of nothing, for a student to learn on where there are no data at all: a masked language model
// says them (Wang and Cho 2019, "BERT has a Mouth, and It Must Speak"), and the teacher's classifier takes
// those of which it is sure, as many of each class (as DAFL asks of its generator: Chen et al. 2019).
namespace penjing::augment {

struct SpeakerSettings {
  int64_t min_length = 5, max_length = 24;  // pieces of a text, special tokens apart, drawn evenly
  int64_t seed_words = 1;                   // of these, words drawn evenly from the vocabulary, which stay
  int64_t places = 1;                       // filled a forward
  int64_t sweeps = 1;      // times that every place but the seeds is then masked and filled again
  double temperature = 1;  // of the distribution over the likeliest pieces
  int64_t top_k = 100;     // how many those are
  uint64_t seed = 1;
};

// Text n is a function of the settings and n alone: not of threads, nor of the texts that are made with it.
// Places are filled in a random order, each from the model's distribution given all that stands there.
class Speaker {
 public:
  // kUnsupported without a mask token or a head for masked words; kInput for lengths that the model does not
  // take. All must outlive it.
  Speaker(const Tokenizer& tokenizer, Predictor& masked_lm, ThreadPool& pool,
          const SpeakerSettings& settings);

  // Texts first to first + count - 1. Honours Ctrl-C.
  std::vector<std::string> speak(int64_t first, int64_t count);

 private:
  // A text in the making.
  struct Draft {
    Rng rng{0};
    std::vector<int32_t> ids;         // special tokens among them
    std::vector<std::size_t> free;    // places that are no seeds, in the order of this sweep
    std::vector<std::size_t> masked;  // of the present forward
  };
  Draft begin(int64_t number) const;
  // Fills the next `places` free places from `at` on of every draft that has them.
  void fill(std::vector<Draft>& drafts, std::size_t at);
  int32_t draw(std::span<const float> logits, bool begins, Rng& rng) const;

  const Tokenizer& tokenizer_;
  Predictor& masked_lm_;
  ThreadPool& pool_;
  SpeakerSettings settings_;
  std::vector<int32_t> before_, after_;  // special tokens around a text
  std::vector<int32_t> words_;           // whole words of letters: seeds
  std::vector<char> allowed_, begins_;   // by piece: may stand in a text; at its start
};

struct GenerateSettings {
  int64_t count = 1000;     // texts wanted
  double confidence = 0.9;  // probability that the teacher gives its class, at least
  bool balance = true;      // as many of each class
  int64_t most_tries = 0;   // texts that are made at most; 0: 50 for each that is wanted
};

struct GenerateCounts {
  int64_t tried = 0, unsure = 0, surplus = 0, repeated = 0;  // surplus: sure, of a class that is full
  std::vector<int64_t> kept;                                 // by class
  int64_t num_kept() const;
};

// The teacher's logits of each text, [classes].
using Judge = std::function<std::vector<std::vector<float>>(const std::vector<std::string>& texts)>;
// Gets each text that is kept and its class, in the order of the texts' numbers.
using Keep = std::function<void(const std::string& text, int64_t label)>;

// Asks for texts until there are `count`, or most_tries were made: then there are fewer. Reports progress.
GenerateCounts generate(Speaker& speaker, const Judge& judge, int64_t num_classes,
                        const GenerateSettings& settings, const Keep& keep);

}  // namespace penjing::augment

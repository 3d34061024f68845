#pragma once

#include <filesystem>
#include <string>

namespace penjing::testing {

enum class TinyHead { kSentence, kClassifier, kTokens, kAnswers, kMasked };

// Words of the tiny models' vocabulary besides the special tokens, with single letters as pieces.
inline constexpr const char* kTinyWords[] = {"the", "cat", "sat",   "on",  "mat", "dog", "ran",
                                             "a",   "in",  "house", "big", "red", ".",   ","};

// Writes a random BERT of hidden size 32 with one head as a Hugging Face folder at `folder`.
void write_tiny_folder(const std::filesystem::path& folder, TinyHead head, int num_layers = 2);

}  // namespace penjing::testing

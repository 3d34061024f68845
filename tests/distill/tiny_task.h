#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "train/finetune.h"

// A task of few sentences that a tiny model (tests/cli/tiny_folder.h) learns in a few steps.
namespace penjing::testing {

inline const std::function<void(const std::string&)> kQuiet = [](const std::string&) {};

// "the cat sat\t0": a sentence and its class.
using Rows = std::vector<std::string>;
inline const Rows kCatsAndDogs = {"the cat sat\t0", "a dog ran\t1"};

// train.tsv and dev.tsv, where both have `count` rows, in turn.
inline void write_task(const std::filesystem::path& folder, const Rows& rows = kCatsAndDogs, int count = 24,
                       const Rows& dev_rows = {}) {
  const auto write = [&](const char* name, const Rows& those) {
    std::ofstream file(folder / name);
    file << "sentence\tlabel\n";
    for (int i = 0; i < count; ++i) file << those[static_cast<std::size_t>(i) % those.size()] << '\n';
  };
  write("train.tsv", rows);
  write("dev.tsv", dev_rows.empty() ? rows : dev_rows);
}

// Of folder / "model" on the folder's task, to folder / out: one thread, batches of 4.
inline train::FinetuneSettings tiny_training(const std::filesystem::path& folder, const std::string& out,
                                             double epochs, double learning_rate = 2e-3) {
  train::FinetuneSettings s;
  s.model = (folder / "model").string();
  s.task = "classification";
  s.data.data = folder;
  s.out = folder / out;
  s.threads = 1;
  s.loop.epochs = epochs;
  s.loop.batches.batch_size = 4;
  s.loop.learning_rate = learning_rate;
  s.loop.batches.seed = s.loop.seed;
  return s;
}

// What is said against it; "taken" where nothing is.
template <class Work>
std::string refusal_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "taken";
}

}  // namespace penjing::testing

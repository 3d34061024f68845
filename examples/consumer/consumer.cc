// Two sentences and their similarity, from a program that only knows penjing/penjing.h.
// usage: consumer MODEL SENTENCE SENTENCE
#include <penjing/penjing.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: consumer MODEL SENTENCE SENTENCE\n");
    return 2;
  }
  try {
    penjing::Encoder encoder(argv[1]);
    const auto vectors = encoder.encode({argv[2], argv[3]});
    double similarity = 0;
    for (std::size_t i = 0; i < vectors[0].size(); ++i) similarity += double{vectors[0][i]} * vectors[1][i];
    std::printf("%zu dimensions, similarity %.4f\n", vectors[0].size(), similarity);
  } catch (const penjing::Failure& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
  return 0;
}

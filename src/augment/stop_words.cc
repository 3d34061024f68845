#include "augment/stop_words.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

namespace penjing::augment {

namespace {

// The classes that TinyBERT's released code skips (its list is NLTK's), grouped.
constexpr std::string_view kStopWords[] = {
    // pronouns
    "i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves", "you", "your", "yours",
    "yourself", "yourselves", "he", "him", "his", "himself", "she", "her", "hers", "herself", "it", "its",
    "itself", "they", "them", "their", "theirs", "themselves", "this", "that", "these", "those", "who",
    "whom", "whose", "which", "what",
    // forms of be, have, do; other auxiliaries
    "am", "is", "are", "was", "were", "be", "been", "being", "have", "has", "had", "having", "do", "does",
    "did", "doing", "can", "could", "will", "would", "shall", "should", "may", "might", "must",
    // articles, quantities
    "a", "an", "the", "all", "any", "both", "each", "few", "more", "most", "other", "some", "such", "no",
    "own", "same",
    // conjunctions
    "and", "but", "if", "or", "because", "as", "until", "while", "nor", "than", "so", "when", "where", "why",
    "how",
    // prepositions
    "of", "at", "by", "for", "with", "about", "against", "between", "into", "through", "during", "before",
    "after", "above", "below", "to", "from", "up", "down", "in", "out", "on", "off", "over", "under",
    // adverbs
    "again", "further", "then", "once", "here", "there", "not", "only", "too", "very", "just", "now",
    // what contractions leave
    "s", "t", "d", "m", "o", "y", "ll", "re", "ve", "ma", "don", "ain", "aren", "couldn", "didn", "doesn",
    "hadn", "hasn", "haven", "isn", "mightn", "mustn", "needn", "shan", "shouldn", "wasn", "weren", "won",
    "wouldn"};

}  // namespace

bool is_stop_word(std::string_view word) {
  static const std::set<std::string_view> words(std::begin(kStopWords), std::end(kStopWords));
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return words.contains(lower);
}

}  // namespace penjing::augment

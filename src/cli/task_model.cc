#include "cli/task_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/unit_vectors.h"
#include "eval/agreement.h"
#include "eval/answers.h"
#include "model/prompts.h"
#include "text/prompt_tokens.h"
#include "text/words.h"

namespace penjing::cli {

namespace {

using Rows = TaskModel::Rows;

EncodeOptions encode_options(const LoadedModel& loaded) {
  EncodeOptions how;
  how.max_length = loaded.max_length;
  return how;
}

Rows one_row_each(LoadedModel& loaded, const std::vector<Encoding>& encodings, OutputKind kind,
                  const std::string& label, int64_t prompt_length = 0) {
  Rows rows(encodings.size());
  predict_all(
      *loaded.predictor, encodings, kind, label,
      [&](std::size_t i, const float* values, int64_t count, int64_t dim) {
        rows[i].assign(values, values + count * dim);
      },
      nullptr, kBatchTokens, prompt_length);
  return rows;
}

// Of texts by themselves, with the model's prompt before each.
Rows prompted_rows(LoadedModel& loaded, const std::vector<std::string>& texts, TextRole role, OutputKind kind,
                   const EncodeOptions& how, const std::string& label) {
  const std::string prompt = prompt_for(loaded.model.sentence, role);
  std::vector<std::string> prompted;
  prompted.reserve(texts.size());
  for (const std::string& text : texts) prompted.push_back(prompt + text);
  return one_row_each(loaded, encode_all(*loaded.tokenizer, *loaded.pool, prompted, how), kind, label,
                      count_prompt_tokens(*loaded.tokenizer, prompt));
}

void cut_rows(Rows& rows, int64_t dimensions, bool normalize) {
  const auto kept = static_cast<std::size_t>(dimensions);
  for (std::vector<float>& row : rows) {
    if (row.size() < kept)
      fail(ErrorKind::kInput, "--dimensions {}: the model's vectors have {}", dimensions, row.size());
    row.resize(kept);
    if (normalize) scale_to_one(row);
  }
}

std::vector<Rows> tag_words(LoadedModel& loaded, const std::vector<std::vector<std::string>>& sentences,
                            const std::string& label) {
  std::vector<Encoding> encodings;
  std::vector<std::vector<int64_t>> first;
  for (const auto& words : sentences) {
    encodings.push_back(loaded.tokenizer->encode(join_words(words), encode_options(loaded)));
    first.push_back(first_tokens(words, encodings.back()));
  }
  std::vector<Rows> result(sentences.size());
  predict_all(*loaded.predictor, encodings, OutputKind::kTokenLogits, label,
              [&](std::size_t i, const float* values, int64_t, int64_t dim) {
                for (const int64_t token : first[i]) {
                  const float* row = values + std::max<int64_t>(token, 0) * dim;
                  result[i].emplace_back(row, token < 0 ? row : row + dim);
                }
              });
  return result;
}

MaskedPiece judge(std::span<const float> logits, int32_t truth) {
  double highest = logits[0], sum = 0;
  for (const float v : logits) highest = std::max(highest, double{v});
  for (const float v : logits) sum += std::exp(v - highest);
  return {logits[static_cast<std::size_t>(truth)] - highest - std::log(sum), truth,
          static_cast<int32_t>(argmax(logits))};
}

// The text once for each set of pieces that is masked together, as many sets a forward as fit.
std::vector<MaskedPiece> fill_text(LoadedModel& loaded, const Encoding& encoding, int64_t every) {
  std::vector<std::size_t> ordinary;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    if (encoding.special_mask[i] == 0) ordinary.push_back(i);
  }
  const std::size_t sets =
      every == 0 ? ordinary.size() : std::min<std::size_t>(static_cast<std::size_t>(every), ordinary.size());
  std::vector<MaskedPiece> pieces;
  for (std::size_t set = 0; set < sets;) {
    check_interrupt();
    RaggedBatch batch;
    std::vector<int64_t> positions;
    std::vector<int32_t> truths;
    do {
      std::vector<int32_t> ids = encoding.ids;
      for (std::size_t i = set; i < ordinary.size(); i += sets) {
        ids[ordinary[i]] = loaded.tokenizer->mask_id();
        positions.push_back(batch.num_tokens() + static_cast<int64_t>(ordinary[i]));
        truths.push_back(encoding.ids[ordinary[i]]);
      }
      batch.append(ids, encoding.type_ids);
      ++set;
    } while (set < sets && batch.num_tokens() + static_cast<int64_t>(encoding.ids.size()) <= kBatchTokens);
    Request request;
    request.kind = OutputKind::kMaskedLogits;
    request.positions = positions;
    const Prediction prediction = loaded.predictor->predict(batch, request);
    for (std::size_t row = 0; row < truths.size(); ++row)
      pieces.push_back(judge(prediction.row(static_cast<int64_t>(row)), truths[row]));
  }
  return pieces;
}

// Names of a head's outputs: config.json's, then numbers.
std::vector<std::string> labels_of(const Model& model, HeadKind kind) {
  std::vector<std::string> labels = model.id2label;
  const HeadSpec* head = model.description.find_head(kind);
  for (auto i = static_cast<int64_t>(labels.size()); head != nullptr && i < head->projection.out; ++i)
    labels.push_back(std::to_string(i));
  return labels;
}

}  // namespace

TaskModel make_task_model(LoadedModel& loaded, const std::string& label, int64_t dimensions) {
  TaskModel model;
  const EncodeOptions how = encode_options(loaded);
  EncodeOptions ids = how;
  ids.ids_only = true;
  if (loaded.predictor->supports(OutputKind::kEmbedding)) {
    const auto embed_as = [&loaded, ids, label, dimensions](TextRole role) {
      return [&loaded, ids, label, dimensions, role](const std::vector<std::string>& texts) {
        Rows rows = prompted_rows(loaded, texts, role, OutputKind::kEmbedding, ids, label);
        if (dimensions > 0) cut_rows(rows, dimensions, normalizes(loaded.model));
        return rows;
      };
    };
    model.embed = embed_as(TextRole::kText);
    model.embed_queries = embed_as(TextRole::kQuery);
    model.embed_documents = embed_as(TextRole::kDocument);
  }
  if (loaded.predictor->supports(OutputKind::kClassLogits)) {
    model.labels = labels_of(loaded.model, HeadKind::kSequenceClassifier);
    model.classify = [&loaded, ids, label](const std::vector<std::string>& texts,
                                           const std::vector<std::string>& pairs) {
      if (pairs.empty() && is_sentence_classifier(loaded.model))
        return prompted_rows(loaded, texts, TextRole::kText, OutputKind::kClassLogits, ids, label);
      std::vector<Encoding> encodings;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        encodings.push_back(pairs.empty() ? loaded.tokenizer->encode(texts[i], ids)
                                          : loaded.tokenizer->encode_pair(texts[i], pairs[i], ids));
      }
      return one_row_each(loaded, encodings, OutputKind::kClassLogits, label);
    };
  }
  if (loaded.predictor->supports(OutputKind::kTokenLogits)) {
    model.labels = labels_of(loaded.model, HeadKind::kTokenClassifier);
    model.tag = [&loaded, label](const std::vector<std::vector<std::string>>& sentences) {
      return tag_words(loaded, sentences, label);
    };
  }
  if (loaded.predictor->supports(OutputKind::kSpanLogits)) {
    model.tokenizer = loaded.tokenizer.get();
    model.max_length = loaded.predictor->max_length();
    model.answers = read_trained_answers(loaded.model.config);
    model.read_windows = [&loaded, label](const std::vector<AnswerWindow>& windows) {
      std::vector<Encoding> encodings(windows.size());
      for (std::size_t i = 0; i < windows.size(); ++i) {
        encodings[i].ids = windows[i].ids;
        encodings[i].type_ids = windows[i].types;
      }
      return one_row_each(loaded, encodings, OutputKind::kSpanLogits, label);
    };
  }
  if (loaded.predictor->supports(OutputKind::kMaskedLogits) && loaded.tokenizer->mask_id() >= 0) {
    model.fill_masks = [&loaded, how, label](const std::vector<std::string>& texts, int64_t every) {
      std::vector<std::vector<MaskedPiece>> pieces;
      Progress progress(label, static_cast<int64_t>(texts.size()), "texts");
      for (const auto& text : texts) {
        pieces.push_back(fill_text(loaded, loaded.tokenizer->encode(text, how), every));
        progress.advance();
      }
      return pieces;
    };
  }
  return model;
}

}  // namespace penjing::cli

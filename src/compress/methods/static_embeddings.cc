// static_embeddings: a sentence encoder as a table (Model2Vec, Tulkens and van Dongen 2024): what the teacher
// says of each piece of its vocabulary alone, and a text is the mean of its pieces. No attention, no order of
// words; thousands of times less arithmetic.
//
//   e_i = mean over [CLS] piece_i [SEP] of the teacher's hidden states
//   PCA: (e_i - mean) on the `dimensions` directions of largest variance over the vocabulary
//   times w_i = a / (a + p_i), p_i = (1 / (i + 2)) / sum_k 1 / (k + 2): smooth inverse frequency (Arora et
//   al. 2017) of the frequencies that Zipf's law gives rank i, vocabularies being sorted by frequency a text:
//   the mean of its rows, of length 1
//
// as model2vec 0.10 computes them (distill/inference.py). Pieces called [unused0] ... are left out.
// Deviations: FP32 unless `precision` says otherwise, where model2vec stores FP16; the rows of special tokens
// are zero, so that texts may be encoded with or without [CLS] and [SEP], and an unknown word says nothing,
// which model2vec and Sentence-Transformers reach by leaving them out.
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "base/thread_pool.h"
#include "compress/cast.h"
#include "compress/params.h"
#include "compress/principal_components.h"
#include "compress/vocabulary_cut.h"

namespace penjing {

namespace {

struct Params {
  int64_t dimensions = 256;
  double sif = 1e-4;
  std::string precision = "fp32";

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("dimensions", dimensions, 0, kMaxDimensions,
              "of an embedding, by PCA; 0: the teacher's width, no PCA");
    v.number("sif", sif, 0, 1, "a of the weights a / (a + frequency); 0: no weights");
    v.choice("precision", precision, {"fp32", "fp16"}, "of the table");
  }
  static constexpr int64_t kMaxDimensions = 1 << 17;
};

// Rows [count, width].
struct Table {
  std::vector<float> values;
  int64_t count = 0, width = 0;
  float* row(int64_t i) { return values.data() + i * width; }
};

// "[unused" and digits and "]".
bool is_unused(std::string_view token) {
  if (!token.starts_with("[unused") || !token.ends_with("]")) return false;
  const std::string_view number = token.substr(7, token.size() - 8);
  return !number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos;
}

// The mean hidden state of each kept piece between the tokens that the template puts around a text.
Table encode_pieces(Predictor& predictor, const Tokenizer& tokenizer, const VocabularyCut& cut) {
  constexpr std::size_t kTogether = 512;
  const std::vector<int32_t> around = tokenizer.encode("").ids;
  if (around.size() != 2)
    fail(ErrorKind::kUnsupported, "static: {} tokens around a text, wanted 2", around.size());
  Table table;
  table.count = static_cast<int64_t>(cut.kept.size());
  Progress progress("static", table.count, "pieces");
  for (std::size_t begin = 0; begin < cut.kept.size(); begin += kTogether) {
    check_interrupt();
    const std::size_t end = std::min(begin + kTogether, cut.kept.size());
    RaggedBatch batch;
    for (std::size_t i = begin; i < end; ++i)
      batch.append(std::vector<int32_t>{around[0], static_cast<int32_t>(cut.kept[i]), around[1]});
    const Prediction hidden = predictor.predict(batch, {});
    table.width = hidden.dim;
    table.values.resize(static_cast<std::size_t>(table.count * table.width));
    for (std::size_t i = begin; i < end; ++i) {
      float* row = table.row(static_cast<int64_t>(i));
      const auto first = static_cast<int64_t>(3 * (i - begin));
      for (int64_t k = 0; k < table.width; ++k) {
        const auto at = static_cast<std::size_t>(k);
        row[k] = (hidden.row(first)[at] + hidden.row(first + 1)[at] + hidden.row(first + 2)[at]) / 3;
      }
    }
    progress.advance(static_cast<int64_t>(end - begin));
  }
  return table;
}

// The share of the variance within the directions kept.
double project_to(Table& table, int64_t dimensions, ThreadPool& pool) {
  const double variance = project_on_components(table.values, table.width, dimensions, pool);
  table.width = dimensions;
  return variance;
}

void weigh_rows(Table& table, double sif) {
  double all = 0;
  for (int64_t i = 0; i < table.count; ++i) all += 1 / static_cast<double>(i + 2);
  for (int64_t i = 0; i < table.count; ++i) {
    const double frequency = 1 / static_cast<double>(i + 2) / all;
    const double weight = sif / (sif + frequency);
    for (int64_t k = 0; k < table.width; ++k)
      table.row(i)[k] = static_cast<float>(double{table.row(i)[k]} * weight);
  }
}

// What every version of `tokenizers` wants to find, and texts of any length.
std::string complete_tokenizer(Json root) {
  const auto fill = [](Json& object, std::initializer_list<std::pair<const char*, Json>> members) {
    for (const auto& [key, value] : members) {
      if (!object.contains(key)) object.set(key, value);
    }
  };
  for (const char* key : {"truncation", "padding"}) root.set(key, Json());
  fill(root, {{"version", "1.0"},
              {"decoder", Json::object({{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}})}});
  fill(*root.find("model"), {{"continuing_subword_prefix", "##"}, {"max_input_chars_per_word", 100}});
  if (Json* added = root.find("added_tokens"); added != nullptr && added->is_array()) {
    for (Json& token : added->as_array("added_tokens"))
      fill(token, {{"single_word", false}, {"lstrip", false}, {"rstrip", false}});
  }
  return root.dump();
}

Model apply(const Model& input, const Json& resolved, MethodContext& context, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  check_model(input, false);
  if (!context.new_predictor) fail(ErrorKind::kInternal, "static: no way to run the teacher");
  if (input.folder.empty()) fail(ErrorKind::kInput, "static: the model has no folder, so no tokenizer");
  const int64_t width = input.description.hidden_size;
  if (params.dimensions > width)
    fail(ErrorKind::kInput, "dimensions: {}, the teacher's width is {}", params.dimensions, width);
  const auto tokenizer = Tokenizer::load(input.folder);
  if (tokenizer->vocab_size() > input.description.embedding.vocab_size)
    fail(ErrorKind::kFormat, "the tokenizer has {} tokens, the embedding table {}", tokenizer->vocab_size(),
         input.description.embedding.vocab_size);
  std::vector<bool> keeps(static_cast<std::size_t>(tokenizer->vocab_size()));
  for (std::size_t id = 0; id < keeps.size(); ++id)
    keeps[id] = !is_unused(tokenizer->token(static_cast<int32_t>(id)));
  keep_required(input, *tokenizer, keeps);
  const VocabularyCut cut = make_cut(keeps);

  Table table = encode_pieces(*context.new_predictor(input, OutputKind::kHidden), *tokenizer, cut);
  ThreadPool pool(context.threads);
  const bool reduces = params.dimensions != 0 && params.dimensions < table.count;
  const double variance = reduces ? project_to(table, params.dimensions, pool) : 1;
  if (params.sif > 0) weigh_rows(table, params.sif);
  for (std::size_t i = 0; i < cut.kept.size(); ++i) {
    const auto id = static_cast<int32_t>(cut.kept[i]);
    if (tokenizer->is_special(id) || id == tokenizer->unk_id())
      std::fill_n(table.row(static_cast<int64_t>(i)), table.width, 0.0f);
  }

  Model model;
  model.folder = input.folder;
  const std::string name = input.folder.filename().string();
  const bool halves = params.precision == "fp16";
  model.config = Json::object({{"model_type", "model2vec"},
                               {"architectures", Json(Json::Array{Json("StaticModel")})},
                               {"tokenizer_name", name},
                               {"apply_pca", reduces ? Json(params.dimensions) : Json()},
                               {"sif_coefficient", params.sif > 0 ? Json(params.sif) : Json()},
                               {"hidden_dim", table.width},
                               {"seq_length", 1000000},
                               {"max_length", Json()},
                               {"normalize", true},
                               {"pooling", "mean"},
                               {"embedding_dtype", halves ? "float16" : "float32"}});
  const Tensor values = Tensor::from_floats({table.count, table.width}, table.values);
  model.tensors.set("embeddings", halves ? cast(values, DType::kF16, "embeddings") : values);
  complete_model(model);
  SentenceModule pooling, normalize;
  pooling.pooling.modes = {PoolingMode::kMean};
  normalize.kind = SentenceModule::Kind::kNormalize;
  model.sentence.modules = {pooling, normalize};
  const auto module = [](int64_t number, const char* path, const char* type) {
    return Json::object({{"idx", number},
                         {"name", std::to_string(number)},
                         {"path", path},
                         {"type", std::string("sentence_transformers.models.") + type}});
  };
  const Json modules(Json::Array{module(0, ".", "StaticEmbedding"), module(1, "1_Normalize", "Normalize")});
  model.side_files = {{"modules.json", modules.dump(2) + "\n"},
                      {"tokenizer.json", complete_tokenizer(cut_tokenizer_json(*tokenizer, cut))}};
  for (const SideFile& file : input.side_files) {
    if (file.path == "README.md" || file.path == "LICENSE") model.side_files.push_back(file);
  }
  report.details.set("pieces", table.count);
  report.details.set("dimensions", table.width);
  report.details.set("variance", variance);
  report.notes.push_back(fmt::format("{} pieces of {} dimensions, which hold {:.1f} % of the variance",
                                     format_count(table.count), table.width, 100 * variance));
  report.notes.push_back("loads in `model2vec` and in Sentence-Transformers (StaticEmbedding)");
  return model;
}

}  // namespace

extern const Method static_embeddings_method;
const Method static_embeddings_method = {
    "static_embeddings",
    "static",
    "a sentence encoder as a table of its vocabulary: no layers, millions of tokens a second",
    "Runs the teacher once on each piece of its vocabulary, reduces the embeddings by PCA, weighs them by "
    "the "
    "frequency that their rank suggests, and stores the table: a text is the mean of its pieces (Model2Vec, "
    "Tulkens and van Dongen 2024). The order of words is lost: look at `eval` before using it.\n\n"
    "Examples:\n  penjing static minilm --out minilm-static\n"
    "  penjing static minilm --dimensions 128 --precision fp16 --out minilm-static-128",
    Needs::kNothing,
    list_params<Params>,
    apply};

}  // namespace penjing

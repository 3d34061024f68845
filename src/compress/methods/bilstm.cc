// bilstm: a fresh BiLSTM student (Tang et al. 2019; model/architectures/bilstm.cc) with a teacher's
// tokenizer, and its classes where it is a classifier. Word piece embeddings are the teacher's own on their
// `embedding` first principal components, where the paper has word2vec, scaled by one factor to a root mean
// square of 0.3; or drawn. The LSTM is drawn as PyTorch's is, all weights and the bias uniform in +-1 /
// sqrt(units) (the bias is the sum of PyTorch's two), the dense layer and the classifier uniform in +-1 /
// sqrt(inputs). A tensor is a function of (seed, its name) alone.
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/text_table.h"
#include "base/thread_pool.h"
#include "compress/params.h"
#include "compress/principal_components.h"
#include "model/architectures.h"
#include "model/linear.h"

namespace penjing {

namespace {

struct Params {
  int64_t units = 150, embedding = 300, dense = 200, attention_units = 150, seed = 1;
  std::string embeddings = "pca", pooling = "ends";
  bool siamese = false;

  template <class Visitor>
  void visit(Visitor& v) {
    v.integer("units", units, 1, kMaxWidth / 4, "bilstm: of the LSTM in each direction");
    v.integer("embedding", embedding, 1, kMaxWidth, "bilstm: width of the word embeddings");
    v.integer("dense", dense, 1, kMaxWidth, "bilstm: of the layer before the classes");
    v.choice("embeddings", embeddings, {"pca", "random"},
             "bilstm: the teacher's by principal components, or fresh ones");
    v.choice("pooling", pooling, {"ends", "attention"},
             "bilstm: the classifier reads the LSTM's last states, or all of them by attention");
    v.integer("attention_units", attention_units, 1, kMaxWidth, "bilstm: inner width of the attention");
    v.flag("siamese", siamese, "bilstm: for pairs: each text by itself, then compared");
    v.integer("seed", seed, 0, INT32_MAX, "of fresh weights");
  }
};

constexpr double kEmbeddingScale = 0.3;  // root mean square: LSTM gates are then neither closed nor saturated

Tensor draw_uniform(const Shape& shape, double bound, uint64_t seed, std::string_view name) {
  Rng rng(seed, fnv1a(name));
  std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
  for (float& value : values) value = static_cast<float>(bound * (2 * rng.uniform() - 1));
  return Tensor::from_floats(shape, values);
}

void draw_linear(Model& model, const LinearSpec& spec, double bound, uint64_t seed) {
  const std::string weight = spec.name + ".weight", bias = spec.name + ".bias";
  model.tensors.set(weight, draw_uniform({spec.out, spec.in}, bound, seed, weight));
  if (spec.bias) model.tensors.set(bias, draw_uniform({spec.out}, bound, seed, bias));
}

// The teacher's rows [vocab, width] on their first components.
std::vector<float> project_words(const Model& teacher, int64_t dimensions, int threads, double& variance) {
  const EmbeddingSpec& spec = teacher.description.embedding;
  const EmbeddingTable table = resolve_embedding(teacher.tensors, spec.word, spec.vocab_size, spec.width);
  std::vector<float> rows(static_cast<std::size_t>(table.rows * table.width));
  ThreadPool pool(threads);
  pool.parallel_for(table.rows, [&](int64_t i, int) {
    table.read_row(i, {rows.data() + i * table.width, static_cast<std::size_t>(table.width)});
  });
  variance = project_on_components(rows, table.width, dimensions, pool);
  double squares = 0;
  for (const float value : rows) squares += double{value} * value;
  const double factor = kEmbeddingScale / std::sqrt(squares / static_cast<double>(rows.size()));
  for (float& value : rows) value = static_cast<float>(value * factor);
  return rows;
}

bool is_tokenizer_file(const std::string& path) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json",
                           "added_tokens.json", "LICENSE"}) {
    if (path == name) return true;
  }
  return false;
}

Model apply(const Model& teacher, const Json& resolved, MethodContext& context, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  const auto seed = static_cast<uint64_t>(params.seed);
  const EmbeddingSpec& words = teacher.description.embedding;
  const bool projects = params.embeddings == "pca";
  if (projects && params.embedding > words.width) {
    fail(ErrorKind::kInput, "embedding {}: the teacher's are {} wide; fewer, or --embeddings random",
         params.embedding, words.width);
  }
  Model model;
  model.folder = teacher.folder;
  model.config = Json::object({{"model_type", "bilstm"},
                               {"architectures", Json(Json::Array{Json("BiLstmModel")})},
                               {"embedding_size", params.embedding},
                               {"hidden_size", params.units},
                               {"dense_size", params.dense},
                               {"siamese", params.siamese},
                               {"pooling", params.pooling},
                               {"vocab_size", words.vocab_size},
                               {"max_position_embeddings", teacher.description.max_positions},
                               {"hidden_dropout_prob", 0.1},
                               // Of a head that training gives: about what +-1 / sqrt(300) has.
                               {"initializer_range", 0.04}});
  if (params.pooling == "attention") model.config.set("attention_size", params.attention_units);
  const HeadSpec* classifier = teacher.description.find_head(HeadKind::kSequenceClassifier);
  if (classifier != nullptr) {
    model.config.set("architectures", Json(Json::Array{Json("BiLstmForSequenceClassification")}));
    model.config.set("num_labels", classifier->projection.out);
    for (const char* key : {"id2label", "label2id", "problem_type"}) {
      if (const Json* value = teacher.config.find(key)) model.config.set(key, *value);
    }
  }
  for (const SideFile& file : teacher.side_files) {
    if (is_tokenizer_file(file.path)) model.side_files.push_back(file);
  }

  double variance = 0;
  const Shape table = {words.vocab_size, params.embedding};
  const std::string name = "embeddings.word_embeddings.weight";
  model.tensors.set(name, projects ? Tensor::from_floats(table, project_words(teacher, params.embedding,
                                                                              context.threads, variance))
                                   : draw_uniform(table, kEmbeddingScale * std::sqrt(3.0), seed, name));
  const Description d = describe(model.config, model.tensors);
  const auto& recurrent = std::get<RecurrentSpec>(d.blocks[0].part);
  for (const LinearSpec* spec : {&recurrent.forward_input, &recurrent.forward_hidden,
                                 &recurrent.backward_input, &recurrent.backward_hidden}) {
    draw_linear(model, *spec, 1 / std::sqrt(static_cast<double>(params.units)), seed);
  }
  for (const HeadSpec& head : d.heads) {
    std::vector<const LinearSpec*> layers = {&head.dense, &head.projection};
    if (head.input == HeadInput::kAttended)
      layers.insert(layers.end(), {&head.attention, &head.attention_score});
    for (const LinearSpec* spec : layers)
      draw_linear(model, *spec, 1 / std::sqrt(static_cast<double>(spec->in)), seed);
  }
  complete_model(model);
  if (projects) {
    report.details.set("variance", variance);
    report.notes.push_back(
        fmt::format("{} principal components hold {:.1f} % of the word embeddings' variance",
                    params.embedding, 100 * variance));
  }
  report.notes.push_back("nothing but the embeddings comes from the teacher: distil it, or fine-tune it");
  return model;
}

}  // namespace

extern const Method bilstm_method;
const Method bilstm_method = {
    "bilstm",
    "student",
    "a fresh BiLSTM student with a teacher's tokenizer and word embeddings",
    "With --method bilstm: a bidirectional LSTM over the teacher's word pieces and a small classifier (Tang "
    "et al. "
    "2019), which knows nothing yet but its word embeddings. Sizes are the paper's. For pairs of texts "
    "--siamese "
    "runs each by itself and compares, as the paper does.\n\n"
    "Examples:\n  penjing student bert-sst2 --method bilstm --out bilstm\n"
    "  penjing distill bilstm --teacher bert-sst2 --task sst2 --data glue-sst2 --out small --losses "
    "'[{\"loss\": \"mse\", \"params\": {\"of\": \"logits\"}}]'",
    Needs::kNothing,
    list_params<Params>,
    apply};

}  // namespace penjing

#include "runtime/heads.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/panel.h"

namespace penjing {
namespace {

constexpr int64_t kSliceBytes = int64_t{32} << 20;

HeadKind head_kind(OutputKind kind) {
  switch (kind) {
    case OutputKind::kClassLogits:
      return HeadKind::kSequenceClassifier;
    case OutputKind::kTokenLogits:
      return HeadKind::kTokenClassifier;
    case OutputKind::kMaskedLogits:
      return HeadKind::kMaskedLm;
    case OutputKind::kSpanLogits:
      return HeadKind::kQuestionAnswering;
    default:
      return HeadKind::kPooler;
  }
}

// [out, in] of rows that are narrower than the projection's input and of the tensor that holds the rest.
Tensor widened_rows(const Model& model, const HeadSpec& spec) {
  const int64_t out = spec.projection.out, in = spec.projection.in;
  const int64_t width = projection_row_width(model.description, spec);
  const EmbeddingTable rows =
      resolve_embedding(model.tensors, projection_rows(model.description, spec), out, width);
  const std::vector<float> rest =
      read_floats(model.tensors.at(spec.projection_rest), spec.projection_rest);  // [in - width, out]
  std::vector<float> values(static_cast<std::size_t>(out * in));
  for (int64_t o = 0; o < out; ++o) {
    float* row = values.data() + o * in;
    rows.read_row(o, {row, static_cast<std::size_t>(width)});
    for (int64_t i = width; i < in; ++i) row[i] = rest[static_cast<std::size_t>((i - width) * out + o)];
  }
  return Tensor::from_floats({out, in}, values);
}

// Logits: the layer's own weight, or the word embeddings. INT8 embeddings are weight-only here too, so that
// quantizing the table alone never quantizes an activation.
Linear resolve_projection(const Model& model, const HeadSpec& spec) {
  LinearSpec projection = spec.projection;
  if (!spec.projection_bias.empty()) projection.bias = false;
  Linear linear;
  if (!spec.projection_rest.empty()) {
    linear.weight = widened_rows(model, spec);
  } else if (spec.tied_to_word_embeddings) {
    const std::string& word = model.description.embedding.word;
    linear.weight = model.tensors.at(word + ".weight");
    if (linear.weight.type == DType::kI8) {
      linear.kind = LinearKind::kQuantized;
      linear.scale = model.tensors.at(word + ".weight_scale");
    }
    linear.shared_with = word;
    if (linear.weight.shape != Shape{projection.out, projection.in}) {
      fail(ErrorKind::kFormat, "{}.weight: shape {} where [{}, {}] is wanted by {}", word,
           to_string(linear.weight.shape), projection.out, projection.in, projection.name);
    }
    if (projection.bias) {
      linear.has_bias = true;
      linear.bias = model.tensors.at(projection.name + ".bias");
    }
  } else {
    linear = resolve_linear(model, projection);
  }
  linear.spec = spec.projection;
  if (!spec.projection_bias.empty()) {
    linear.has_bias = true;
    linear.bias = model.tensors.at(spec.projection_bias);
  }
  return linear;
}

Program plan_scores(const Model& model, const HeadSpec& spec, LinearPacker& packer) {
  ProgramBuilder builder(model, packer);
  ProgramBuilder::ProductRequest inner, score;
  inner.linear = resolve_linear(model, spec.attention);
  inner.x = builder.add_input(model.description.hidden_size);
  inner.activation = Activation::kTanh;
  score.x = builder.add_product(std::move(inner), -1);
  score.linear = resolve_linear(model, spec.attention_score);
  return builder.finish(builder.add_product(std::move(score), -1));
}

// Rows that go through a program at once.
int64_t slice_rows_of(const Program& program) {
  const int64_t panel_bytes = std::max<int64_t>(1, program.bytes_per_token() * kPanelTokens);
  return std::max<int64_t>(1, kSliceBytes / panel_bytes) * kPanelTokens;
}

Program plan_head_program(const Model& model, const HeadSpec& spec, LinearPacker& packer) {
  ProgramBuilder builder(model, packer);
  int x = builder.add_input((spec.compares ? 4 : 1) * model.description.hidden_size);
  if (spec.has_dense) {
    ProgramBuilder::ProductRequest request;
    request.linear = resolve_linear(model, spec.dense);
    request.x = x;
    request.activation = spec.activation;
    x = builder.add_product(std::move(request), -1);
  }
  if (spec.has_norm) x = builder.add_norm(spec.norm, x, true, -1);
  if (spec.has_projection) {
    ProgramBuilder::ProductRequest request;
    request.linear = resolve_projection(model, spec);
    request.x = x;
    x = builder.add_product(std::move(request), -1);
  }
  return builder.finish(x);
}

// Sentence-Transformers: a pooling, then any dense layers and normalisations.
Head plan_sentence(const Model& model, LinearPacker& packer) {
  const std::vector<SentenceModule>& modules = model.sentence.modules;
  if (modules[0].kind != SentenceModule::Kind::kPooling) {
    fail(ErrorKind::kUnsupported, "modules.json: the module after the transformer is not a pooling");
  }
  Head head;
  head.rows = Head::Rows::kPooled;
  head.pooling = modules[0].pooling;
  if (head.pooling.modes.empty()) fail(ErrorKind::kFormat, "pooling: no mode is chosen");
  ProgramBuilder builder(model, packer);
  int x = builder.add_input(model.description.hidden_size * static_cast<int64_t>(head.pooling.modes.size()));
  for (std::size_t i = 1; i < modules.size(); ++i) {
    const SentenceModule& module = modules[i];
    switch (module.kind) {
      case SentenceModule::Kind::kPooling:
        fail(ErrorKind::kUnsupported, "modules.json: module {} is a second pooling", i + 1);
      case SentenceModule::Kind::kDense: {
        ProgramBuilder::ProductRequest request;
        request.linear = resolve_linear(model, module.dense);
        request.x = x;
        request.activation = module.activation;
        x = builder.add_product(std::move(request), -1);
        break;
      }
      case SentenceModule::Kind::kNormalize:
        x = builder.add_normalize(x);
        break;
    }
  }
  head.program = builder.finish(x);
  return head;
}

}  // namespace

std::optional<Head> plan_head(const Model& model, OutputKind kind, LinearPacker& packer) {
  Head head;
  if (kind == OutputKind::kEmbedding) {
    if (model.sentence.modules.empty()) return std::nullopt;
    head = plan_sentence(model, packer);
  } else {
    const HeadSpec* spec = model.description.find_head(head_kind(kind));
    if (spec == nullptr && kind == OutputKind::kClassLogits && is_sentence_classifier(model)) {
      head = plan_sentence(model, packer);
    } else if (spec == nullptr) {
      return std::nullopt;
    } else {
      head.program = plan_head_program(model, *spec, packer);
      const bool first = kind == OutputKind::kPooled || kind == OutputKind::kClassLogits;
      head.rows = !first                                ? Head::Rows::kTokens
                  : spec->input == HeadInput::kEnds     ? Head::Rows::kEnds
                  : spec->input == HeadInput::kAttended ? Head::Rows::kAttended
                                                        : Head::Rows::kFirstTokens;
      head.compares = spec->compares;
      if (head.rows == Head::Rows::kAttended) {
        head.scores = plan_scores(model, *spec, packer);
        head.score_slice_rows = slice_rows_of(*head.scores);
      }
    }
  }
  head.kind = kind;
  head.slice_rows = slice_rows_of(head.program);
  return head;
}

Head plan_exit(const Model& model, const ExitSpec& exit, LinearPacker& packer) {
  Head head;
  head.kind = OutputKind::kClassLogits;
  if (exit.input == ExitInput::kMean) {
    head.rows = Head::Rows::kPooled;
    head.pooling.modes = {PoolingMode::kMean};
  }
  head.program = plan_head_program(model, exit.head, packer);
  head.slice_rows = slice_rows_of(head.program);
  return head;
}

}  // namespace penjing

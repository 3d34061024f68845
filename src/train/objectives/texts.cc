// texts: plain texts without labels, a text a line. There is no loss of its own: the forward gives sentence
// embeddings, or the logits of the model's classifier where it has one, to who looks at them (distillation);
// --param outputs=states: the encoder's hidden states alone, and the model stays without pooling.
// Scored, where asked, as another task on its own data: --param eval_task=stsb --param eval_data=glue-stsb.
#include <optional>

#include "base/error.h"
#include "data/text_lines.h"
#include "model/prompts.h"
#include "train/objective_params.h"
#include "train/sentence_encoder.h"
#include "train/task_model.h"
#include "train/text_examples.h"

namespace penjing::train {

namespace {

class Texts final : public Objective {
 public:
  Texts(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input)
      : tokenizer_(tokenizer), input_(input) {
    ObjectiveParams params(input.params);
    eval_task_ = params.text("eval_task", "");
    input_.data.data = params.text("eval_data", "");
    input_.data.split = input.eval_split;
    input_.data.limit = 0;
    if (eval_task_.empty() != input_.data.data.empty()) {
      fail(ErrorKind::kInput, "texts: eval_task and eval_data go together");
    }
    if (!eval_task_.empty() && find_task(eval_task_) == nullptr) {
      fail(ErrorKind::kInput, "texts: eval_task \"{}\" is none of eval's", eval_task_);
    }
    const std::string outputs = params.text("outputs", "default");
    if (outputs != "default" && outputs != "states") {
      fail(ErrorKind::kInput, "texts: outputs is \"{}\"; wanted default or states", outputs);
    }
    if (outputs == "states") {
      gives_ = Gives::kStates;
    } else if (model.description.find_head(HeadKind::kSequenceClassifier) != nullptr) {
      gives_ = Gives::kClasses;
    }
    if (gives_ == Gives::kEmbeddings) make_sentence_encoder(model, params, input.max_length, input.seed);
    params.refuse_others();
    file_ = input.data.data;
    std::vector<std::string> texts;
    TextLines lines(file_.string());
    for (std::string text; lines.next(text);) {
      if (text.empty()) continue;
      texts.push_back(text);
      if (input.data.limit > 0 && texts.size() >= input.data.limit) break;
    }
    if (texts.empty()) fail(ErrorKind::kInput, "{}: no text in it", file_.string());
    std::vector<std::string> prompt;
    if (gives_ == Gives::kEmbeddings) prompt = {prompt_for(model.sentence, TextRole::kText)};
    texts_.emplace(tokenizer, *input.pool, texts, std::vector<std::string>(), input.max_length, prompt);
  }

  int64_t num_examples() const override { return texts_->size(); }
  std::string target(int64_t) const override { return {}; }
  bool has_loss() const override { return false; }
  std::span<const Sequence> sequences(int64_t example) const override { return texts_->one(example); }

  LossSum loss(const Network& network, const ForwardContext& context, std::span<const int64_t> examples,
               int64_t) const override {
    std::vector<const Sequence*> sequences;
    for (const int64_t i : examples) sequences.push_back(&(*texts_)[i]);
    const PackedBatch batch = pack(sequences, {examples.begin(), examples.end()}, network.device());
    const at::Tensor hidden = network.encoder->forward(batch, context);
    const at::Tensor said = say(network, hidden, batch, context);
    LossSum result;
    result.sum = said.sum() * 0;  // every weight has a gradient, of nothing
    return result;
  }

  TaskResult evaluate(const Network& network, const ForwardContext& context) const override {
    const TaskModel model = make_task_model(network, tokenizer_, context, input_.max_length, *input_.pool);
    return find_task(eval_task_)->run(model, input_.data);
  }
  bool has_evaluation() const override { return !eval_task_.empty() && !input_.eval_split.empty(); }

  std::string summary() const override {
    return fmt::format("{}: {} texts\n{}\n", file_.string(), num_examples(),
                       texts_->describe_lengths(input_.max_length));
  }

 private:
  enum class Gives { kEmbeddings, kClasses, kStates };

  at::Tensor say(const Network& network, const at::Tensor& hidden, const PackedBatch& batch,
                 const ForwardContext& context) const {
    if (gives_ == Gives::kStates) return hidden;
    if (gives_ == Gives::kEmbeddings)
      return embed_sentences(*network.model, network.parameters, hidden, batch, context);
    return run_head(network.model->description, network.parameters, HeadKind::kSequenceClassifier, hidden,
                    batch, at::Tensor(), context);
  }

  const Tokenizer& tokenizer_;
  ObjectiveInput input_;
  std::string eval_task_;
  std::filesystem::path file_;
  Gives gives_ = Gives::kEmbeddings;
  std::optional<TextExamples> texts_;
};

std::unique_ptr<Objective> make(Model& model, const Tokenizer& tokenizer, const ObjectiveInput& input) {
  return std::make_unique<Texts>(model, tokenizer, input);
}

}  // namespace

extern const ObjectiveKind texts_objective;
const ObjectiveKind texts_objective = {"texts", "", "plain texts without labels, for distillation", make};

}  // namespace penjing::train

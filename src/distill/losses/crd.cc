// crd: Tian, Krishnan and Isola 2020, "Contrastive Representation Distillation": tell the pair of
// representations of one example from `negatives` pairs of different ones. g_S, g_T: learned linear maps to
// `dim` numbers, divided by their length; a bank keeps the last of each example of the data set, for both
// sides, moved by bank = momentum * bank + (1 - momentum) * g, divided by its length. With P = exp(g . bank /
// tau) / Z for an anchor, c = N / M (N negatives, M examples):
// -(1/B) sum [log(P+ / (P+ + c + e)) + sum over negatives log(c / (P- + c + e))], with the student as anchor
// against the teacher's bank and the other way round, added. form = code (RepDistiller): e = 1e-7, Z the mean
// of exp over the first batch times M, then constant. form = paper (equation 19): Z = 1, e = 0. Negatives are
// drawn with replacement, from examples of other classes (the code's loader; needs labels) or from all, by
// Philox from (seed, step, example). Banks and Z are state. Scores are products with the whole bank, of which
// the drawn ones are taken: for M of the order of N, less memory traffic than gathering N rows an anchor.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "distill/learned_maps.h"
#include "distill/row_numerics.h"
#include "distill/vector_loss.h"

namespace penjing::distill {

namespace {

struct Params {
  std::string form = "code", of = "first", candidates = "other_classes";
  int64_t dim = 128, negatives = 16384;
  double temperature = 0.07, momentum = 0.5;
  template <class Visitor>
  void visit(Visitor& v) {
    v.choice("form", form, {"code", "paper"}, "with the normaliser of the first batch, or without");
    v.choice("of", of, {"first", "mean", "embeddings", "logits"}, "an example's vector");
    v.choice("candidates", candidates, {"other_classes", "all"}, "which examples may be negatives");
    v.integer("dim", dim, 1, 65536, "width of the representations");
    v.integer("negatives", negatives, 1, 1 << 24, "N, for each example");
    v.number("temperature", temperature, 1e-3, 100, "tau");
    v.number("momentum", momentum, 0, 1, "of the banks");
  }
};

// Examples that may be negatives of one: all, or those of other classes.
class Candidates {
 public:
  Candidates(int64_t num_examples, std::span<const int64_t> labels, bool other_classes)
      : total_(num_examples) {
    if (!other_classes) return;
    if (static_cast<int64_t>(labels.size()) != num_examples) {
      fail(ErrorKind::kInput, "crd: candidates: other_classes, but examples have no classes; choose \"all\"");
    }
    labels_.assign(labels.begin(), labels.end());
    order_.resize(labels_.size());
    std::iota(order_.begin(), order_.end(), int64_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return label(a) < label(b); });
    if (label(order_.front()) == label(order_.back()))
      fail(ErrorKind::kInput, "crd: candidates: other_classes, but all examples are of one class");
  }

  // n numbers of examples, by Philox counters (i / 4, example, step, place).
  void draw(int64_t example, train::RandomKey key, uint32_t place, std::span<int64_t> out) const {
    int64_t begin = 0, end = 0;  // of the example's class in order_
    if (!order_.empty()) {
      const auto [low, high] = std::equal_range(order_.begin(), order_.end(), example,
                                                [&](int64_t a, int64_t b) { return label(a) < label(b); });
      begin = low - order_.begin();
      end = high - order_.begin();
    }
    const auto count = static_cast<uint64_t>(total_ - (end - begin));
    std::array<uint32_t, 4> numbers{};
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (i % 4 == 0) {
        numbers = philox4x32({static_cast<uint32_t>(i / 4), static_cast<uint32_t>(example),
                              static_cast<uint32_t>(key.step), place},
                             {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)});
      }
      auto at = static_cast<int64_t>(numbers[i % 4] * count >> 32);
      if (at >= begin) at += end - begin;
      out[i] = order_.empty() ? at : order_[static_cast<std::size_t>(at)];
    }
  }

 private:
  int64_t label(int64_t example) const { return labels_[static_cast<std::size_t>(example)]; }

  int64_t total_;
  std::vector<int64_t> labels_, order_;  // order_: examples by class
};

// Representations uniform in +-1 / sqrt(dim / 3) at first, as in the code.
at::Tensor new_bank(int64_t rows, int64_t dim, uint64_t seed, uint64_t stream, at::ScalarType type) {
  at::Tensor bank = at::empty({rows, dim}, at::kFloat);
  const double range = 1 / std::sqrt(static_cast<double>(dim) / 3);
  Rng rng(seed, stream);
  auto* values = bank.data_ptr<float>();
  for (int64_t i = 0; i < bank.numel(); ++i) values[i] = static_cast<float>(range * (2 * rng.uniform() - 1));
  return bank.to(type);
}

class Crd final : public VectorLoss {
 public:
  Crd(const Params& params, const LossSetup& setup)
      : VectorLoss(params.of, 0, setup),
        params_(params),
        prefix_(setup.prefix),
        num_examples_(setup.num_examples),
        candidates_(setup.num_examples, setup.example_labels, params.candidates == "other_classes") {
    if (setup.num_examples < 2) fail(ErrorKind::kInput, "crd: {} examples", setup.num_examples);
    for (std::size_t i = 0; i < num_places(); ++i) {
      const auto [student, teacher] = of().sizes(setup, i);
      Place& place = places_.emplace_back();
      place.student = LearnedLinear(setup, fmt::format("{}.student", i), student, params.dim, true,
                                    default_deviation(student));
      place.teacher = LearnedLinear(setup, fmt::format("{}.teacher", i), teacher, params.dim, true,
                                    default_deviation(teacher));
      place.student_bank = new_bank(num_examples_, params.dim, setup.seed, 2 * i, setup.type);
      place.teacher_bank = new_bank(num_examples_, params.dim, setup.seed, 2 * i + 1, setup.type);
      place.normalisers = at::full({2}, params.form == "code" ? -1 : 1, setup.type);
    }
  }
  Unit unit() const override { return Unit::kBatch; }

  TensorMap state() const override {
    TensorMap out;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      places_[i].bring_up_to_date(params_.momentum);
      out.set(fmt::format("{}{}.student_bank", prefix_, i), train::from_torch(places_[i].student_bank));
      out.set(fmt::format("{}{}.teacher_bank", prefix_, i), train::from_torch(places_[i].teacher_bank));
      out.set(fmt::format("{}{}.normalisers", prefix_, i), train::from_torch(places_[i].normalisers));
    }
    return out;
  }
  void restore(const TensorMap& state) override {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      places_[i].numbers = at::Tensor();
      for (const auto& [name, to] : {std::pair{"student_bank", &places_[i].student_bank},
                                     std::pair{"teacher_bank", &places_[i].teacher_bank},
                                     std::pair{"normalisers", &places_[i].normalisers}}) {
        const std::string key = fmt::format("{}{}.{}", prefix_, i, name);
        const at::Tensor values = train::to_torch(state.at(key), key);
        if (values.sizes() != to->sizes())
          fail(ErrorKind::kFormat, "{}: {} values, wanted {}", key, values.numel(), to->numel());
        *to = values.to(to->options());
      }
    }
  }

 private:
  struct Place {
    LearnedLinear student, teacher;
    at::Tensor student_bank, teacher_bank;  // [M, dim]
    // [2], Z of the student and of the teacher as anchor; below 0: not known yet.
    at::Tensor normalisers;
    // Of the last call, not in the banks yet: its backward needs the banks as they were.
    at::Tensor numbers, student_news, teacher_news;

    void bring_up_to_date(double momentum) {
      if (!numbers.defined()) return;
      const at::NoGradGuard no_gradient;
      for (const auto& [bank, news] :
           {std::pair{student_bank, student_news}, std::pair{teacher_bank, teacher_news}}) {
        const at::Tensor moved = momentum * bank.index_select(0, numbers) + (1 - momentum) * news;
        at::Tensor(bank).index_copy_(0, numbers, directions(moved));
      }
      numbers = at::Tensor();
    }
  };

  // chosen: [B, 1 + N], the example itself first.
  at::Tensor of_anchor(const at::Tensor& anchor, const at::Tensor& bank, const at::Tensor& chosen,
                       at::Tensor normaliser) const {
    const at::Tensor likeness = (at::mm(anchor, bank.t()).gather(1, chosen) / params_.temperature).exp();
    const auto m = static_cast<double>(num_examples_);
    if (normaliser.item<double>() < 0) normaliser.fill_(likeness.detach().mean() * m);
    const at::Tensor p = likeness / normaliser.item<double>();  // as it is stored, from the first batch on
    const double c = static_cast<double>(params_.negatives) / m;
    const double e = params_.form == "code" ? 1e-7 : 0;
    const at::Tensor right = p.narrow(1, 0, 1), wrong = p.narrow(1, 1, params_.negatives);
    const at::Tensor sum = (right / (right + (c + e))).log().sum() + (c / (wrong + (c + e))).log().sum();
    return -sum / static_cast<double>(anchor.size(0));
  }
  at::Tensor of_vectors(const at::Tensor& student, const at::Tensor& teacher, std::size_t place,
                        const LossInput& input) override {
    const int64_t n = student.size(0), width = params_.negatives + 1;
    if (static_cast<int64_t>(input.examples.size()) != n) {
      fail(ErrorKind::kInternal, "crd: {} numbers of {} examples", input.examples.size(), n);
    }
    std::vector<int64_t> chosen(static_cast<std::size_t>(n * width));
    for (int64_t i = 0; i < n; ++i) {
      const std::span<int64_t> row(chosen.data() + i * width, static_cast<std::size_t>(width));
      row[0] = input.examples[static_cast<std::size_t>(i)];
      candidates_.draw(row[0], input.random, static_cast<uint32_t>(place), row.subspan(1));
    }
    Place& at_place = places_[place];
    at_place.bring_up_to_date(params_.momentum);
    const at::Tensor numbers = at::tensor(chosen, at::kLong).view({n, width}).to(student.device());
    const at::Tensor s = directions(at_place.student(student)), t = directions(at_place.teacher(teacher));
    for (at::Tensor* kept : {&at_place.student_bank, &at_place.teacher_bank, &at_place.normalisers})
      *kept = kept->to(student.device());
    const at::Tensor value = of_anchor(s, at_place.teacher_bank, numbers, at_place.normalisers[0]) +
                             of_anchor(t, at_place.student_bank, numbers, at_place.normalisers[1]);
    if (input.training) {
      at_place.numbers = numbers.select(1, 0);
      at_place.student_news = s.detach();
      at_place.teacher_news = t.detach();
    }
    return value;
  }

  Params params_;
  std::string prefix_;
  int64_t num_examples_;
  Candidates candidates_;
  mutable std::vector<Place> places_;  // state() brings the banks up to date
};

unsigned needs(const Json& params) {
  const Params read = read_params<Params>(params);
  return VectorsOf{read.of}.needs() | (read.candidates == "other_classes" ? kLabels : 0u);
}

}  // namespace

extern const LossKind crd_loss;
const LossKind crd_loss = {"crd",
                           "contrast of an example's representation with those of many others",
                           "Tian et al. 2020, arXiv:1910.10699",
                           list_params<Params>,
                           needs,
                           make_loss<Crd, Params>};

}  // namespace penjing::distill

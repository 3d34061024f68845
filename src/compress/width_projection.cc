#include "compress/width_projection.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "compress/cast.h"
#include "compress/model_sizes.h"
#include "compress/part_choice.h"
#include "compress/second_moment.h"
#include "numerics/symmetric_eigen.h"

namespace penjing {

namespace {

std::size_t at(int64_t row, int64_t column, int64_t width) {
  return static_cast<std::size_t>(row * width + column);
}

// The norms of the hidden states, in the order of the forward pass.
std::vector<NormSpec> hidden_norms(const Description& d) {
  if (!d.embedding.has_norm || d.embedding.has_projection || d.embedding.trigram != 0)
    fail(ErrorKind::kUnsupported, "hidden: the width of {}'s embedding cannot be projected", d.family);
  std::vector<NormSpec> norms = {d.embedding.norm};
  for (const Block& block : d.blocks) {
    const bool known = block.kind() == BlockKind::kAttention || block.kind() == BlockKind::kFeedForward;
    if (!known || block.norm_place != NormPlace::kPost)
      fail(ErrorKind::kUnsupported,
           "hidden: {} is not an attention or feed-forward block with its norm after it", block.name);
    norms.push_back(block.norm);
  }
  for (const NormSpec& norm : norms) {
    if (norm.kind != NormKind::kLayerNorm)
      fail(ErrorKind::kUnsupported, "hidden: {} is not a LayerNorm", norm.name);
  }
  return norms;
}

// Sum of h h^T (upper triangle) and of h over the tokens that leave a norm.
struct Moments {
  int64_t rows = 0;
  std::vector<double> second, first;
};

class MomentTap : public Tap {
 public:
  MomentTap(const std::vector<NormSpec>& norms, ThreadPool& pool) : pool_(pool) {
    for (const NormSpec& norm : norms) moments_[norm.name + ".out"];
  }
  bool wants(std::string_view site) override { return moments_.contains(std::string(site)); }
  void on(std::string_view site, int, const float* rows, int64_t num_rows, int64_t dim) override {
    Moments& m = moments_.at(std::string(site));
    m.first.resize(static_cast<std::size_t>(dim), 0);
    m.rows += num_rows;
    add_second_moment({rows, static_cast<std::size_t>(num_rows * dim)}, dim, pool_, m.second);
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t i = 0; i < dim; ++i) m.first[static_cast<std::size_t>(i)] += double{rows[row * dim + i]};
    }
  }
  // E[h h^T], whole, and E[h].
  Moments of(const NormSpec& norm) {
    Moments& m = moments_.at(norm.name + ".out");
    if (m.rows == 0)
      fail(ErrorKind::kInput, "calibration: no token reached {}; are there any texts?", norm.name);
    const int64_t dim = norm.width;
    const double count = static_cast<double>(m.rows);
    for (double& x : m.first) x /= count;
    for (int64_t i = 0; i < dim; ++i) {
      for (int64_t j = i; j < dim; ++j) m.second[at(j, i, dim)] = m.second[at(i, j, dim)] /= count;
    }
    return std::move(m);
  }

 private:
  ThreadPool& pool_;
  std::map<std::string, Moments> moments_;
};

double trace(const std::vector<double>& matrix, int64_t size) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += matrix[at(i, i, size)];
  return sum;
}

// tr(P^T M P), of P^T's rows.
double trace_within(const std::vector<double>& matrix, const std::vector<double>& rows, int64_t size,
                    ThreadPool& pool) {
  const int64_t count = static_cast<int64_t>(rows.size()) / size;
  std::vector<double> sums(static_cast<std::size_t>(count), 0);
  pool.parallel_for(count, [&](int64_t k, int) {
    const double* p = rows.data() + k * size;
    std::vector<double> product(static_cast<std::size_t>(size), 0);
    for (int64_t i = 0; i < size; ++i) {
      const double* line = matrix.data() + i * size;
      for (int64_t j = 0; j < size; ++j) product[static_cast<std::size_t>(j)] += p[i] * line[j];
    }
    sums[static_cast<std::size_t>(k)] = std::inner_product(product.begin(), product.end(), p, 0.0);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// What the norm had made of its input before its gains: z = (h - b) / g; a feature with gain 0 tells nothing
// of it and counts as 0.
struct BeforeGains {
  std::vector<double> second, first;  // E[z z^T], E[z]
};
BeforeGains before_gains(const std::vector<float>& gains, const std::vector<float>& shift, const Moments& m) {
  const auto size = static_cast<int64_t>(gains.size());
  BeforeGains z{std::vector<double>(m.second.size()), std::vector<double>(gains.size())};
  const auto inverse = [&](int64_t i) {
    const double gain = gains[static_cast<std::size_t>(i)];
    return gain == 0 ? 0 : 1 / gain;
  };
  for (int64_t i = 0; i < size; ++i) {
    const double bi = shift[static_cast<std::size_t>(i)], mi = m.first[static_cast<std::size_t>(i)];
    z.first[static_cast<std::size_t>(i)] = inverse(i) * (mi - bi);
    for (int64_t j = 0; j < size; ++j) {
      const double bj = shift[static_cast<std::size_t>(j)], mj = m.first[static_cast<std::size_t>(j)];
      z.second[at(i, j, size)] =
          inverse(i) * (m.second[at(i, j, size)] - mi * bj - bi * mj + bi * bj) * inverse(j);
    }
  }
  return z;
}

double dot(const double* a, const double* b, int64_t count) {
  return std::inner_product(a, a + count, b, 0.0);
}

// The norm in the width of P, whose transpose's rows these are (the header's formulas).
NarrowNorm fit_norm(const Model& model, const NormSpec& norm, const Moments& m,
                    const std::vector<double>& rows, ThreadPool& pool) {
  const int64_t size = norm.width, width = static_cast<int64_t>(rows.size()) / size;
  const std::vector<float> gains = read_floats(model.tensors.at(norm.name + ".weight"), norm.name);
  std::vector<float> shift(gains.size(), 0);
  if (norm.bias) shift = read_floats(model.tensors.at(norm.name + ".bias"), norm.name);
  const std::vector<double> g(gains.begin(), gains.end()), b(shift.begin(), shift.end());
  const BeforeGains z = before_gains(gains, shift, m);
  std::vector<double> slopes(static_cast<std::size_t>(width)), squares = slopes;
  NarrowNorm narrow{std::vector<float>(slopes.size()), std::vector<float>(slopes.size())};
  pool.parallel_for(width, [&](int64_t k, int) {
    const double* p = rows.data() + k * size;
    std::vector<double> product(g.size(), 0), scaled(g.size());  // E[z (p.z)], g p
    for (int64_t i = 0; i < size; ++i) {
      const double* line = z.second.data() + i * size;
      for (int64_t j = 0; j < size; ++j) product[static_cast<std::size_t>(j)] += p[i] * line[j];
      scaled[static_cast<std::size_t>(i)] = p[i] * g[static_cast<std::size_t>(i)];
    }
    const double mean = dot(p, z.first.data(), size), mean_after = dot(scaled.data(), z.first.data(), size);
    const double square = dot(p, product.data(), size);
    const double variance = square - mean * mean;
    double slope = dot(p, scaled.data(), size);  // where nothing varies
    if (variance > 1e-9 * square)
      slope = (dot(scaled.data(), product.data(), size) - mean * mean_after) / variance;
    const auto at_k = static_cast<std::size_t>(k);
    slopes[at_k] = slope;
    squares[at_k] = square;
    narrow.shift[at_k] = static_cast<float>(dot(p, b.data(), size) + mean_after - slope * mean);
  });
  const double all = trace(z.second, size);
  const double kept = all > 0 ? std::accumulate(squares.begin(), squares.end(), 0.0) / all : 1;
  const double scale = std::sqrt(kept * static_cast<double>(size) / static_cast<double>(width));
  for (std::size_t k = 0; k < slopes.size(); ++k) narrow.gains[k] = static_cast<float>(scale * slopes[k]);
  return narrow;
}

// Rows of P^T for the `width` directions of the moment: u first, then across it, then turned (the header).
std::vector<double> find_rows(const std::vector<double>& moment, int64_t size, int64_t width) {
  // M with u taken out on both sides, and put back with a value above all others.
  std::vector<double> sums(static_cast<std::size_t>(size), 0);
  double all = 0;
  const double n = static_cast<double>(size);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j) sums[static_cast<std::size_t>(i)] += moment[at(i, j, size)];
    all += sums[static_cast<std::size_t>(i)];
  }
  const double top = 2 * trace(moment, size) + 1;
  std::vector<double> across(moment.size());
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j)
      across[at(i, j, size)] = moment[at(i, j, size)] -
                               (sums[static_cast<std::size_t>(i)] + sums[static_cast<std::size_t>(j)]) / n +
                               all / (n * n) + top / n;
  }
  std::vector<double> rows = decompose_symmetric(across, size).vectors;
  rows.resize(at(width, 0, size));
  // The reflection I - 2 w w^T that exchanges (1, 0, ..., 0) and (1, ..., 1) / sqrt(width), on the left.
  const double one = 1 / std::sqrt(static_cast<double>(width));
  std::vector<double> w(static_cast<std::size_t>(width), -one);
  w[0] += 1;
  const double length = std::sqrt(std::inner_product(w.begin(), w.end(), w.begin(), 0.0));
  for (double& x : w) x /= length;
  std::vector<double> product(static_cast<std::size_t>(size), 0);
  for (int64_t k = 0; k < width; ++k) {
    for (int64_t i = 0; i < size; ++i)
      product[static_cast<std::size_t>(i)] += w[static_cast<std::size_t>(k)] * rows[at(k, i, size)];
  }
  for (int64_t k = 0; k < width; ++k) {
    for (int64_t i = 0; i < size; ++i)
      rows[at(k, i, size)] -= 2 * w[static_cast<std::size_t>(k)] * product[static_cast<std::size_t>(i)];
  }
  return rows;
}

void require_width(const Model& model, int64_t width) {
  const ModelSizes sizes = read_sizes(model);
  if (width < 2 || width > sizes.hidden)
    fail(ErrorKind::kInput, "hidden: {}, the teacher's is {}", width, sizes.hidden);
  if (width % sizes.head_dim != 0)
    fail(ErrorKind::kInput, "hidden: {} is not a multiple of the {} features of a head", width,
         sizes.head_dim);
}

// A B, [m, k] by [k, n].
std::vector<float> multiply(const std::vector<float>& a, const std::vector<float>& b, int64_t k, int64_t n,
                            ThreadPool& pool) {
  const int64_t m = static_cast<int64_t>(a.size()) / k;
  std::vector<float> result(at(m, 0, n), 0);
  pool.parallel_for(m, [&](int64_t row, int) {
    float* y = result.data() + row * n;
    const float* x = a.data() + row * k;
    for (int64_t i = 0; i < k; ++i) {
      const float factor = x[i];
      const float* line = b.data() + i * n;
      for (int64_t j = 0; j < n; ++j) y[j] += factor * line[j];
    }
  });
  return result;
}

// Every tensor of the student, from the teacher's.
class Projector {
 public:
  Projector(const Model& model, const WidthProjection& projection, ThreadPool& pool,
            std::vector<std::string>& notes)
      : teacher_(model), projection_(projection), pool_(pool), notes_(notes), student_(model) {
    from_ = projection.from;
    to_ = projection.to;
    p_.assign(projection.basis.begin(), projection.basis.end());
    transposed_.resize(p_.size());
    for (int64_t i = 0; i < from_; ++i) {
      for (int64_t j = 0; j < to_; ++j) transposed_[at(j, i, from_)] = p_[at(i, j, to_)];
    }
  }

  Model run() {
    const Description& d = teacher_.description;
    for (const std::string& table : {d.embedding.word, d.embedding.position.name, d.embedding.token_type}) {
      if (!table.empty()) read_hidden(table + ".weight", 1);
    }
    for (const NormSpec& norm : hidden_norms(d)) project_norm(norm);
    for (const Block& block : d.blocks) {
      if (const auto* attention = std::get_if<AttentionSpec>(&block.part)) {
        for (const LinearSpec* spec : {&attention->query, &attention->key, &attention->value})
          read_hidden(*spec);
        write_hidden(attention->output);
      } else {
        const auto& feed_forward = std::get<FeedForwardSpec>(block.part);
        read_hidden(feed_forward.up);
        if (feed_forward.gated) read_hidden(feed_forward.gate);
        write_hidden(feed_forward.down);
      }
    }
    for (const HeadSpec& head : d.heads) project_head(head);
    project_modules();
    drop_unknown();
    ModelSizes sizes = read_sizes(teacher_);
    sizes.hidden = sizes.attention = to_;
    write_sizes(student_, sizes);
    student_.description = describe(student_.config, student_.tensors);
    check_model(student_, false);
    return std::move(student_);
  }

 private:
  std::vector<float> values(const std::string& name) { return read_floats(teacher_.tensors.at(name), name); }

  void set(const std::string& name, Shape shape, const std::vector<float>& values) {
    const DType type = teacher_.tensors.at(name).type;
    Tensor tensor = Tensor::from_floats(std::move(shape), values);
    student_.tensors.set(name, type == DType::kF32 ? tensor : cast(tensor, type, name));
    done_.insert(name);
  }

  // W [out, pieces * H] reads that many hidden states side by side.
  void read_hidden(const std::string& name, int64_t pieces) {
    const std::vector<float> projected = multiply(values(name), p_, from_, to_, pool_);
    const int64_t out = teacher_.tensors.at(name).shape.at(0);
    set(name, {out, pieces * to_}, projected);
  }
  void read_hidden(const LinearSpec& spec) {
    read_hidden(spec.name + ".weight", 1);
    if (spec.bias) done_.insert(spec.name + ".bias");
  }

  void write_hidden(const LinearSpec& spec) {
    const std::string name = spec.name + ".weight";
    set(name, {to_, spec.in}, multiply(transposed_, values(name), from_, spec.in, pool_));
    if (spec.bias) project_vector(spec.name + ".bias");
  }
  void project_vector(const std::string& name) {
    set(name, {to_}, multiply(values(name), p_, from_, to_, pool_));
  }

  void project_norm(const NormSpec& norm) {
    const std::string name = norm.name + ".weight";
    if (const auto found = projection_.norms.find(norm.name); found != projection_.norms.end()) {
      set(name, {to_}, found->second.gains);
      if (norm.bias) set(norm.name + ".bias", {to_}, found->second.shift);
      return;
    }
    const std::vector<float> gains = values(name);
    const double scale = std::sqrt(static_cast<double>(from_) / static_cast<double>(to_));
    std::vector<float> projected;
    for (int64_t j = 0; j < to_; ++j) {
      double gain = 0;
      for (int64_t i = 0; i < from_; ++i) {
        const double p = projection_.basis[at(i, j, to_)];
        gain += p * p * gains[static_cast<std::size_t>(i)];
      }
      projected.push_back(static_cast<float>(scale * gain));
    }
    set(name, {to_}, projected);
    if (norm.bias) project_vector(norm.name + ".bias");
  }

  void project_head(const HeadSpec& head) {
    if (head.has_projection) {
      done_.insert(head.projection.name + ".bias");
      done_.insert(head.projection_bias);
    }
    if (head.has_norm) {  // masked LM
      read_hidden(head.dense);
      const std::string name = head.dense.name + ".weight";
      const std::vector<float> half = read_floats(student_.tensors.at(name), name);
      set(name, {to_, to_}, multiply(transposed_, half, from_, to_, pool_));
      project_vector(head.dense.name + ".bias");
      project_norm(head.norm);
      if (!head.tied_to_word_embeddings) read_hidden(head.projection.name + ".weight", 1);
      notes_.push_back("the masked-LM head does not survive a narrower width: train it before use");
    } else if (head.has_dense) {
      project_dense(head);
    } else if (head.has_projection) {
      read_hidden(head.projection);
    }
  }

  // [gather] dense + activation, then what reads it; the pooler's dense layer may be that of two heads.
  void project_dense(const HeadSpec& head) {
    const std::string name = head.dense.name + ".weight";
    if (done_.contains(name)) return;
    std::vector<std::string> readers;
    for (const HeadSpec& other : teacher_.description.heads) {
      if (other.has_projection && other.dense.name == head.dense.name)
        readers.push_back(other.projection.name + ".weight");
    }
    if (head.dense.name == "pooler.dense" && teacher_.tensors.find(kNextSentence) != nullptr) {
      readers.push_back(kNextSentence);
      done_.insert("cls.seq_relationship.bias");
    }
    const std::vector<float> weight = values(name);
    std::vector<double> scores(static_cast<std::size_t>(from_), 0), columns = scores;
    for (std::size_t i = 0; i < weight.size(); ++i)
      scores[i / static_cast<std::size_t>(from_)] += double{weight[i]} * double{weight[i]};
    for (const std::string& reader : readers) {
      const std::vector<float> rows = values(reader);
      for (std::size_t i = 0; i < rows.size(); ++i)
        columns[i % static_cast<std::size_t>(from_)] += double{rows[i]} * double{rows[i]};
    }
    if (!readers.empty()) {
      for (std::size_t i = 0; i < scores.size(); ++i) scores[i] *= columns[i];
    }
    const std::vector<int64_t> kept = best_of(scores, to_);
    read_hidden(head.dense);
    keep_rows(student_, name, kept);
    if (head.dense.bias) keep_rows(student_, head.dense.name + ".bias", kept);
    for (const std::string& reader : readers) {
      keep_columns(student_, reader, kept);
      done_.insert(reader);
    }
    notes_.push_back(fmt::format("{} keeps {} of its {} units", head.dense.name, to_, from_));
  }

  void project_modules() {
    int64_t pieces = 1;
    bool reads_hidden = false;
    for (SentenceModule& module : student_.sentence.modules) {
      if (module.kind == SentenceModule::Kind::kPooling) {
        pieces = static_cast<int64_t>(module.pooling.modes.size());
        reads_hidden = true;
        set_width("/config.json", {"word_embedding_dimension", "embedding_dimension"}, to_);
        if (std::find(module.pooling.modes.begin(), module.pooling.modes.end(), PoolingMode::kMax) !=
            module.pooling.modes.end())
          notes_.push_back("max pooling does not pass a projection: the student's embeddings differ");
      } else if (module.kind == SentenceModule::Kind::kDense && reads_hidden) {
        read_hidden(module.dense.name + ".weight", pieces);
        module.dense.in = pieces * to_;
        const std::string folder = module.dense.name.substr(0, module.dense.name.rfind('.'));
        set_width(folder + "/config.json", {"in_features"}, module.dense.in);
        reads_hidden = false;
      }
    }
    for (const SentenceModule& module : student_.sentence.modules) {
      if (module.kind != SentenceModule::Kind::kDense) continue;
      for (const char* part : {".weight", ".bias"}) done_.insert(module.dense.name + part);
    }
    if (reads_hidden)
      notes_.push_back(fmt::format("sentence embeddings have {} dimensions, the teacher's {}", pieces * to_,
                                   pieces * from_));
  }

  // In the side files whose path ends so and that say one of the keys.
  void set_width(std::string_view path_end, const std::vector<std::string>& keys, int64_t width) {
    for (SideFile& file : student_.side_files) {
      if (!file.path.ends_with(path_end)) continue;
      Json config = Json::parse(file.text(), file.path);
      for (const std::string& key : keys) {
        if (!config.contains(key)) continue;
        config.set(key, width);
        file = {file.path, config.dump(2) + "\n"};
      }
    }
  }

  void drop_unknown() {
    std::vector<std::string> gone;
    for (const auto& [name, tensor] : teacher_.tensors) {
      const bool wide = std::find(tensor.shape.begin(), tensor.shape.end(), from_) != tensor.shape.end();
      if (wide && !done_.contains(name)) gone.push_back(name);
    }
    for (const std::string& name : gone) {
      student_.tensors.erase(name);
      notes_.push_back(name + " is left out: it has the teacher's width and no place in the description");
    }
  }

  static constexpr const char* kNextSentence = "cls.seq_relationship.weight";

  const Model& teacher_;
  const WidthProjection& projection_;
  ThreadPool& pool_;
  std::vector<std::string>& notes_;
  Model student_;
  int64_t from_ = 0, to_ = 0;
  std::vector<float> p_, transposed_;  // P [from, to], P^T
  std::set<std::string> done_;
};

}  // namespace

WidthProjection find_projection(const Model& model, int64_t width, const CalibrationRun& run,
                                ThreadPool& pool) {
  require_width(model, width);
  const std::vector<NormSpec> norms = hidden_norms(model.description);
  const int64_t size = model.description.hidden_size;
  MomentTap tap(norms, pool);
  run(model, tap, kAllTexts);
  std::vector<double> sum(at(size, 0, size), 0);
  std::vector<Moments> moments;
  for (const NormSpec& norm : norms) {
    const Moments& m = moments.emplace_back(tap.of(norm));
    const double length = std::max(trace(m.second, size), 1e-300);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += m.second[i] / length;
  }
  const std::vector<double> rows = find_rows(sum, size, width);
  WidthProjection projection;
  projection.from = size;
  projection.to = width;
  projection.basis.resize(rows.size());
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < width; ++j) projection.basis[at(i, j, width)] = rows[at(j, i, size)];
  }
  projection.energy = trace_within(sum, rows, size, pool) / trace(sum, size);
  for (std::size_t i = 0; i < norms.size(); ++i)
    projection.norms[norms[i].name] = fit_norm(model, norms[i], moments[i], rows, pool);
  return projection;
}

WidthProjection truncate_width(const Model& model, int64_t width) {
  (void)hidden_norms(model.description);  // refuses what cannot be projected
  require_width(model, width);
  WidthProjection projection;
  projection.from = model.description.hidden_size;
  projection.to = width;
  projection.basis.assign(at(projection.from, 0, width), 0);
  for (int64_t j = 0; j < width; ++j) projection.basis[at(j, j, width)] = 1;
  return projection;
}

Model project_width(const Model& model, const WidthProjection& projection, ThreadPool& pool,
                    std::vector<std::string>& notes) {
  require_plain_products(model);
  return Projector(model, projection, pool, notes).run();
}

}  // namespace penjing

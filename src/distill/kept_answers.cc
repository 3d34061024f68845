#include "distill/kept_answers.h"

#include <chrono>
#include <system_error>

#include "base/error.h"
#include "base/hash.h"
#include "distill/teacher_fit.h"
#include "distill/top_logits.h"
#include "io/model_folder.h"
#include "io/safetensors.h"

namespace penjing::distill {

namespace fs = std::filesystem;

namespace {

using Seconds = std::chrono::duration<double>;

bool is_whole(const AnswerPart& part) {
  return part.need == kLogits || part.need == kEmbeddings;
}

// What becomes of answers before they are kept.
struct Form {
  bool bf16 = false;
  int64_t top = 0;  // of the logits; 0: all

  at::Tensor of(const AnswerPart& part, const Outputs& outputs, std::span<const int64_t> offsets) const {
    at::Tensor rows = rows_of(part, outputs, offsets);
    if (part.need == kLogits && top > 0) rows = shorten_logits(rows, top);
    const bool as_is = rows.scalar_type() == at::kBFloat16 || (!bf16 && rows.scalar_type() == at::kFloat);
    return (as_is ? rows : rows.to(bf16 ? at::kBFloat16 : at::kFloat)).to(at::kCPU).contiguous();
  }
};

// Named by what a teacher's answers depend on.
fs::path file_of(const AnswerPart& part, const train::TaskStart& start, const Teacher& teacher, Form form) {
  Json key = Json::object({{"teacher", teacher.digest()},
                           {"part", part.name()},
                           {"task", *start.origin.find("task")},
                           {"params", *start.origin.find("params")},
                           {"tokens", *start.origin.find("tokens_sha256")}});
  if (form.bf16) key.set("rounded", "bf16");
  if (part.need == kLogits && form.top > 0) key.set("top", form.top);
  // In the last bits of another kind of device: a run on the CPU must not depend on what is kept.
  if (!start.input.device.is_cpu()) key.set("device", at::DeviceTypeName(start.input.device.type(), true));
  const std::string text = key.dump();
  return cache_folder() / "teacher" / (sha256_hex(std::as_bytes(std::span(text))) + ".safetensors");
}

std::span<const std::byte> bytes_of(const at::Tensor& rows) {
  return {static_cast<const std::byte*>(rows.data_ptr()), rows.nbytes()};
}

// Undefined where there is no such file, or a damaged one, which will be made anew.
at::Tensor read_kept(const fs::path& file, const train::TaskStart& start) {
  std::error_code none;
  if (file.empty() || !fs::exists(file, none)) return {};
  try {
    return read_answers(file);
  } catch (const Error& error) {
    start.tell(fmt::format("the teacher's answers: damaged, asked for again ({})\n", error.what()));
    return {};
  }
}

// What is not there yet.
struct Missing {
  AnswerPart part;
  fs::path file;
  std::vector<int64_t> shape;  // of all examples' rows
  at::ScalarType type = at::kFloat;
  double megabytes() const {
    double bytes = static_cast<double>(at::elementSize(type));
    for (const int64_t size : shape) bytes *= static_cast<double>(size);
    return bytes / 1e6;
  }
};

// Shapes and types, learned from what the teacher says of the first examples; and the seconds that all take.
double probe(const train::TaskStart& start, const Answers& answers, Form form, bool for_long,
             std::vector<Missing>& missing, Teacher& teacher) {
  constexpr double kLongEnough = 2;  // seconds
  std::vector<AnswerPart> parts;
  for (const Missing& one : missing) parts.push_back(one.part);
  const auto begin = std::chrono::steady_clock::now();
  double tokens = 0, passed = 0;
  teacher.ask_all(*start.objective, parts, {}, [&](const Outputs& outputs, std::span<const int64_t> offsets) {
    for (Missing& one : missing) {
      const at::Tensor rows = form.of(one.part, outputs, offsets);
      one.type = rows.scalar_type();
      const int64_t all = answers.num_rows(one.part, answers.num_examples());
      double squares = 0;
      for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
        const auto length = static_cast<double>(offsets[i + 1] - offsets[i]);
        squares += length * length;
      }
      one.shape =
          one.part.need == kScores
              ? std::vector<int64_t>{all * static_cast<int64_t>(static_cast<double>(rows.size(0)) / squares)}
              : std::vector<int64_t>{all, rows.size(1)};
    }
    tokens += static_cast<double>(offsets.back());
    passed = Seconds(std::chrono::steady_clock::now() - begin).count();
    return for_long && passed < kLongEnough;
  });
  return passed * static_cast<double>(answers.num_rows({kRows, 0}, answers.num_examples())) / tokens;
}

// Asks for all that is missing: into files, or into memory where there is none.
void ask(const train::TaskStart& start, Form form, std::span<const Missing> missing, Teacher& teacher,
         Answers& answers) {
  std::vector<AnswerPart> parts;
  std::vector<std::unique_ptr<SafetensorsWriter>> writers;
  std::vector<std::vector<at::Tensor>> in_memory(missing.size());
  for (const Missing& one : missing) {
    parts.push_back(one.part);
    if (one.file.empty()) {
      writers.emplace_back();
      continue;
    }
    fs::create_directories(one.file.parent_path());
    const DType type = one.type == at::kBFloat16 ? DType::kBF16 : DType::kF32;
    writers.push_back(
        std::make_unique<SafetensorsWriter>(one.file, kAnswers, type, one.shape,
                                            std::vector<std::pair<std::string, std::string>>{
                                                {"part", one.part.name()}, {"teacher", teacher.digest()}}));
  }
  teacher.ask_all(*start.objective, parts, {}, [&](const Outputs& outputs, std::span<const int64_t> offsets) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const at::Tensor rows = form.of(parts[i], outputs, offsets);
      if (writers[i] != nullptr) {
        writers[i]->write(bytes_of(rows));
      } else {
        in_memory[i].push_back(rows);
      }
    }
    return true;
  });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (writers[i] == nullptr) {
      answers.set(parts[i], at::cat(in_memory[i]));
      continue;
    }
    writers[i]->commit();
    answers.set(parts[i], read_answers(missing[i].file));
  }
}

}  // namespace

void keep_answers(const DistillSettings& settings, const Plan& plan, train::TaskStart& start,
                  Teacher& teacher) {
  const std::vector<AnswerPart> parts = answer_parts(plan);
  if (!teacher.has_model() || start.objective->is_stream() || parts.empty()) return;
  const bool on_disk = settings.answers != KeptAnswers::kNone;
  if (!on_disk && !std::all_of(parts.begin(), parts.end(), is_whole)) return;
  const int64_t classes = logits_of(teacher.model());
  Form form{settings.answers == KeptAnswers::kBf16};
  if (settings.answers == KeptAnswers::kTop && classes > 2 * settings.answers_top + 1)
    form.top = settings.answers_top;
  const auto answers = std::make_shared<Answers>(*start.objective, form.top > 0 ? classes : 0);
  std::vector<Missing> missing;
  for (const AnswerPart& part : parts) {
    Missing one{part, on_disk ? file_of(part, start, teacher, form) : fs::path(), {}};
    if (const at::Tensor rows = read_kept(one.file, start); rows.defined() && answers->fits(part, rows)) {
      answers->set(part, rows);
    } else {
      missing.push_back(std::move(one));
    }
  }
  if (missing.empty()) {
    start.tell("the teacher's answers: from an earlier run\n");
    teacher.answer_from(answers);
    return;
  }
  const double seconds = probe(start, *answers, form, start.is_rehearsal, missing, teacher);
  double megabytes = 0;
  for (const Missing& one : missing) megabytes += one.megabytes();
  std::string what =
      fmt::format("the teacher's answers: {} examples, {:.1f} MB", answers->num_examples(), megabytes);
  std::error_code error;
  const auto room = fs::space(fs::exists(cache_folder(), error) ? cache_folder() : fs::current_path(), error);
  constexpr double kSpare = 1000;  // MB that stay free on the disk
  const bool too_large = megabytes > settings.answers_gb * 1e3;
  const bool no_room = !error && megabytes + kSpare > static_cast<double>(room.available) / 1e6;
  if (on_disk && (too_large || no_room)) {
    start.tell(fmt::format("{}, {}: asked for at every step\n", what,
                           too_large ? fmt::format("more than answers_gb {}", settings.answers_gb)
                                     : std::string("more than the cache's disk has room for")));
    return;
  }
  start.tell(what + (on_disk ? " in the cache\n" : " in memory\n"));
  if (start.is_rehearsal) {
    start.tell(fmt::format("to ask for them takes about {:.0f} s\n", seconds));
    for (const Missing& one : missing) answers->set(one.part, at::zeros({}, one.type).expand(one.shape));
  } else {
    ask(start, form, missing, teacher, *answers);
  }
  teacher.answer_from(answers);
}

}  // namespace penjing::distill

#include "cli/machine_report.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "base/fast_cpus.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/system_file.h"
#include "base/thread_pool.h"
#include "io/model_folder.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_i8/attention_i8.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/gemm_nbits/gemm_nbits.h"
#include "kernels/normalize/normalize.h"
#include "kernels/peak/peak.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/quantize/quantize.h"
#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_i8/spmm_i8.h"
#include "kernels/train_activation/train_activation.h"
#include "kernels/train_adamw/train_adamw.h"
#include "kernels/train_attention/train_attention.h"
#include "kernels/train_dropout/train_dropout.h"
#include "kernels/train_norm/train_norm.h"

namespace penjing::cli {

namespace {

namespace fs = std::filesystem;

constexpr Isa kBestFirst[] = {Isa::kAmx,     Isa::kAvx512Bf16, Isa::kAvx512Vnni, Isa::kAvx512,
                              Isa::kAvxVnni, Isa::kAvx2,       Isa::kRef};

// `find` is the family's own: null where it has no kernel for an instruction set.
template <typename Kernel>
KernelChoice describe_choice(const char* family, const Kernel& chosen, const Kernel* (*find)(Isa)) {
  KernelChoice choice{family, chosen.isa, {}};
  for (const Isa isa : kBestFirst) {
    if (isa <= chosen.isa) break;
    const Refusal why = find(isa) == nullptr ? Refusal::kNotWritten
                        : cpu_has(isa)       ? Refusal::kForbidden
                                             : Refusal::kNotOnThisCpu;
    choice.refused.push_back({isa, why});
  }
  return choice;
}

// A line of /proc/meminfo: "MemTotal:       24576000 kB", or a bare count.
int64_t meminfo(const std::string& text, const std::string& key, int64_t unit) {
  const auto at = ("\n" + text).find("\n" + key + ":");
  if (at == std::string::npos) return 0;
  std::string_view value = std::string_view(text).substr(at + key.size() + 1);
  return leading_integer(value).value_or(0) * unit;
}

// The smallest limit from this process's v2 group up to the root, and the v1 group as containers mount it;
// "max" is no integer, and v1 writes a number near 2^63 for none.
int64_t read_memory_limit(int64_t total) {
  int64_t best = -1;
  const auto consider = [&](const fs::path& path) {
    const std::string text = read_system_file(path);
    std::string_view rest = text;
    const auto value = leading_integer(rest);
    if (value && *value > 0 && *value < total && (best < 0 || *value < best)) best = *value;
  };
  const std::string membership = read_system_file("/proc/self/cgroup");
  std::string group;
  if (const auto at = membership.find("0::"); at != std::string::npos) {
    group = membership.substr(at + 3, membership.find('\n', at) - at - 3);
  }
  for (;;) {
    consider("/sys/fs/cgroup" + group + "/memory.max");
    const auto slash = group.rfind('/');
    if (slash == std::string::npos) break;
    group.resize(slash);
  }
  consider("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  return best;
}

CachedModel describe_model(const fs::path& folder) {
  CachedModel model;
  model.name = folder.filename().string();
  try {
    model.weight_bytes = measure_folder(folder).weights;
    const Json config =
        Json::parse(read_text_file(folder / "config.json", std::size_t{16} << 20), "config.json");
    if (const Json* family = config.find("model_type"); family != nullptr && family->is_string()) {
      model.family = family->as_string("model_type");
    }
    if (const Json* quantized = config.find("quantization_config"); quantized != nullptr) {
      const Json* format = quantized->find("format");
      model.precision = format != nullptr && format->is_string() ? format->as_string("format") : "quantized";
    }
    if (model.weight_bytes == 0) model.problem = "no weight files that penjing reads";
  } catch (const Error& error) {
    std::error_code ignored;
    model.problem = fs::exists(folder / "config.json", ignored) ? error.what() : "no config.json";
  } catch (const fs::filesystem_error& error) {
    model.problem = error.code().message();
  }
  return model;
}

}  // namespace

const char* to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNotOnThisCpu:
      return "not on this CPU";
    case Refusal::kForbidden:
      return "PENJING_ISA forbids it";
    case Refusal::kNotWritten:
      return "no such kernel in this build";
  }
  return "";
}

std::vector<KernelChoice> list_kernel_choices() {
  // A family missing here fails the test of `doctor`, which looks at the folders of src/kernels.
  return {describe_choice("attention", attention::select(), attention::find),
          describe_choice("attention_i8", attention_i8::select(), attention_i8::find),
          describe_choice("gemm_bf16", gemm_bf16::select(), gemm_bf16::find),
          describe_choice("gemm_f32", gemm_f32::select(), gemm_f32::find),
          describe_choice("gemm_i8", gemm_i8::select(), gemm_i8::find),
          describe_choice("gemm_nbits", gemm_nbits::select(), gemm_nbits::find),
          describe_choice("normalize", normalize::select(), normalize::find),
          describe_choice("peak", peak::select(), peak::find),
          describe_choice("pointwise", pointwise::select(), pointwise::find),
          describe_choice("quantize", quantize::select(), quantize::find),
          describe_choice("spmm_f32", spmm_f32::select(), spmm_f32::find),
          describe_choice("spmm_i8", spmm_i8::select(), spmm_i8::find),
          describe_choice("train_activation", train_activation::select(), train_activation::find),
          describe_choice("train_adamw", train_adamw::select(), train_adamw::find),
          describe_choice("train_attention", train_attention::select(), train_attention::find),
          describe_choice("train_dropout", train_dropout::select(), train_dropout::find),
          describe_choice("train_norm", train_norm::select(), train_norm::find)};
}

ThreadFacts read_thread_facts() {
  ThreadFacts facts;
  facts.online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  const std::vector<int> allowed = allowed_cpus();
  facts.affinity = static_cast<int>(allowed.size());
  facts.fast = static_cast<int>(fast_cpus(allowed).size());
  facts.available = available_cpus();
  return facts;
}

MemoryFacts read_memory_facts() {
  MemoryFacts facts;
  const std::string text = read_system_file("/proc/meminfo");
  facts.total = meminfo(text, "MemTotal", 1024);
  facts.available = meminfo(text, "MemAvailable", 1024);
  facts.huge_pages = meminfo(text, "HugePages_Total", 1);
  facts.huge_page_bytes = meminfo(text, "Hugepagesize", 1024);
  facts.limit = read_memory_limit(facts.total);
  // "always [madvise] never": the chosen one is in brackets.
  const std::string modes = read_system_file("/sys/kernel/mm/transparent_hugepage/enabled");
  const auto open = modes.find('['), close = modes.find(']');
  if (open < close && close != std::string::npos) {
    facts.transparent_huge_pages = modes.substr(open + 1, close - open - 1);
  }
  return facts;
}

std::vector<CachedModel> list_cached_models() {
  std::vector<CachedModel> models;
  std::error_code failed;
  for (auto it = fs::directory_iterator(cache_folder() / "models", failed);
       !failed && it != fs::directory_iterator(); it.increment(failed)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) models.push_back(describe_model(it->path()));
  }
  std::sort(models.begin(), models.end(),
            [](const CachedModel& a, const CachedModel& b) { return a.name < b.name; });
  return models;
}

}  // namespace penjing::cli

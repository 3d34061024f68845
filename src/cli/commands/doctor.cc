// doctor: what penjing found on this machine and what it chose, with the reasons.
#include <sys/utsname.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include <CLI/CLI.hpp>
#include <CLI/Version.hpp>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "base/text_table.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/loaded_model.h"
#include "cli/machine_peak.h"
#include "cli/machine_report.h"
#include "cli/memory_bandwidth.h"
#include "cli/model_report.h"
#include "io/model_folder.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string model;
  bool measure = false;
};
Options options;

void declare(CLI::App& app) {
  app.add_option("MODEL", options.model,
                 "also which kernel multiplies each of its layers, and what becomes of its zeros");
  app.add_flag("--measure", options.measure,
               "also measure the peaks of the FP32 and INT8 products and the memory bandwidth (a second)");
}

// The same facts twice: members of one object, and lines for people.
struct Report {
  Json json = Json::object();
  std::string text;

  void section(const std::string& title) { text += (text.empty() ? "" : "\n") + title + "\n"; }
  void line(const std::string& label, const std::string& value) {
    text += fmt::format("  {:<18} {}\n", label, value);
  }
};

Json split_words(const std::string& words) {
  Json list = Json::array();
  std::istringstream stream(words);
  for (std::string word; stream >> word;) list.push_back(word);
  return list;
}

std::string binary_size(int64_t bytes) {
  if (bytes <= 0) return "not known";
  if (bytes % (1 << 20) == 0) return fmt::format("{} MiB", bytes >> 20);
  return fmt::format("{} KiB", bytes >> 10);
}

std::string compiler_name() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
  return "not known";
#endif
}

void report_versions(Report& report) {
  utsname system{};
  ::uname(&system);
#ifdef __GLIBC__
  const std::string libc = std::string("glibc ") + ::gnu_get_libc_version();
#else
  const std::string libc = "not glibc";
#endif
#ifdef NDEBUG
  const char* const assertions = "off";
#else
  const char* const assertions = "on";
#endif
  const std::string fmt_version =
      fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
  const std::string kernel = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  report.json.set("versions", Json::object({{"penjing", version()},
                                            {"compiler", compiler_name()},
                                            {"assertions", assertions},
                                            {"libc", libc},
                                            {"fmt", fmt_version},
                                            {"cli11", CLI11_VERSION},
                                            {"system", kernel}}));
  report.section(fmt::format("penjing {}", version()));
  report.line("built by", fmt::format("{}, assertions {}", compiler_name(), assertions));
  report.line("libraries", fmt::format("{}, fmt {}, CLI11 {}", libc, fmt_version, CLI11_VERSION));
  report.line("system", kernel);
}

void report_cpu(Report& report) {
  const CpuInfo cpu = read_cpu_info();
  Json usable = Json::array();
  std::string names;
  for (const Isa isa : usable_isas()) {
    usable.push_back(name_of(isa));
    names += (names.empty() ? "" : " ") + std::string(name_of(isa));
  }
  report.json.set("cpu", Json::object({{"model", cpu.model},
                                       {"features", split_words(cpu.features)},
                                       {"instruction_sets", usable},
                                       {"l1d_bytes", cpu.l1d_bytes},
                                       {"l2_bytes", cpu.l2_bytes},
                                       {"l3_bytes", cpu.l3_bytes}}));
  report.section("CPU");
  report.line("model", cpu.model.empty() ? "not known" : cpu.model);
  report.line("features", cpu.features.empty() ? "none that penjing uses" : cpu.features);
  report.line("instruction sets", names);
  report.line("caches", fmt::format("L1 data {}, L2 {}, L3 {}", binary_size(cpu.l1d_bytes),
                                    binary_size(cpu.l2_bytes), binary_size(cpu.l3_bytes)));
}

// Reasons in the order of first appearance, the instruction sets of each behind it.
std::string explain(const KernelChoice& choice) {
  std::vector<std::pair<Refusal, std::string>> reasons;
  for (const auto& refused : choice.refused) {
    auto it = reasons.begin();
    while (it != reasons.end() && it->first != refused.why) ++it;
    if (it == reasons.end()) it = reasons.insert(it, {refused.why, ""});
    it->second += (it->second.empty() ? "" : ", ") + std::string(name_of(refused.isa));
  }
  std::string text;
  for (const auto& reason : reasons) {
    text += (text.empty() ? "" : "; ") + reason.second + ": " + to_string(reason.first);
  }
  return text;
}

// What INT8 brings here, in words. Without VNNI three instructions do the work of one, and what is left of
// the gain goes into converting activations.
struct Int8Verdict {
  bool gain;
  std::string words;
};
Int8Verdict judge_int8(const std::vector<KernelChoice>& choices) {
  for (const KernelChoice& choice : choices) {
    if (choice.family != "gemm_i8") continue;
    if (choice.uses >= Isa::kAvx512Vnni || choice.uses == Isa::kAvxVnni) {
      return {true, "INT8 models are smaller and faster here: their products use VNNI"};
    }
    if (cpu_has(Isa::kAvx512Vnni)) {
      return {
          false,
          "this CPU has VNNI, but PENJING_ISA keeps INT8 products off it: expect little or no gain in speed"};
    }
  }
  return {false,
          "no VNNI that penjing uses on this CPU: INT8 models are smaller here, but expect little or no gain "
          "in speed from w8a8; w7a7 is the faster form; check with penjing bench --against"};
}

void report_kernels(Report& report) {
  const auto choices = list_kernel_choices();
  const char* const forced = std::getenv("PENJING_ISA");
  const bool is_forced = forced != nullptr && *forced != '\0';
  const Int8Verdict int8 = judge_int8(choices);
  Json list = Json::array();
  TextTable table({"  kernels", "use", "better ones refused"}, "lll");
  for (const KernelChoice& choice : choices) {
    Json refused = Json::array();
    for (const auto& one : choice.refused) {
      refused.push_back(Json::object({{"isa", name_of(one.isa)}, {"why", to_string(one.why)}}));
    }
    list.push_back(
        Json::object({{"family", choice.family}, {"uses", name_of(choice.uses)}, {"refused", refused}}));
    table.add_row({"  " + choice.family, name_of(choice.uses), explain(choice)});
  }
  report.json.set("isa_limit", name_of(isa_limit()));
  report.json.set("isa_forced", is_forced ? Json(forced) : Json());
  report.json.set("kernels", list);
  report.json.set("int8", Json::object({{"gain", int8.gain}, {"verdict", int8.words}}));
  report.text += "\n" + table.str() + "\n";
  if (is_forced) report.line("PENJING_ISA", forced);
  report.line("INT8", int8.words);
}

void report_threads(Report& report, const CommonOptions& common) {
  const ThreadFacts facts = read_thread_facts();
  const int used = common.threads > 0 ? common.threads : facts.available;
  const bool limited = facts.available < facts.fast;
  report.json.set("threads", Json::object({{"online_cpus", facts.online},
                                           {"affinity_cpus", facts.affinity},
                                           {"cgroup_cpus", limited ? Json(facts.available) : Json()},
                                           {"used", used}}));
  report.section("threads");
  report.line("used", fmt::format("{}{}", used, common.threads > 0 ? " (--threads)" : ""));
  report.line("CPUs",
              fmt::format("{} online, {} in this process's affinity mask{}, cgroup quota {}", facts.online,
                          facts.affinity,
                          facts.fast < facts.affinity ? fmt::format(", {} fast ones", facts.fast) : "",
                          limited ? fmt::format("for {}", facts.available) : "none below that"));
  if (common.threads > facts.available) {
    report.line("note", "more threads than CPUs make every forward slower, not faster");
  }
}

void report_memory(Report& report) {
  const MemoryFacts facts = read_memory_facts();
  report.json.set("memory",
                  Json::object({{"total_bytes", facts.total},
                                {"available_bytes", facts.available},
                                {"cgroup_limit_bytes", facts.limit < 0 ? Json() : Json(facts.limit)},
                                {"transparent_huge_pages", facts.transparent_huge_pages},
                                {"huge_pages", facts.huge_pages},
                                {"huge_page_bytes", facts.huge_page_bytes}}));
  report.section("memory");
  report.line("available", fmt::format("{} of {}{}", format_bytes(static_cast<double>(facts.available)),
                                       format_bytes(static_cast<double>(facts.total)),
                                       facts.limit < 0 ? ", no cgroup limit below that"
                                                       : ", cgroup limit " +
                                                             format_bytes(static_cast<double>(facts.limit))));
  report.line("huge pages",
              fmt::format("transparent: {}; reserved: {} of {}",
                          facts.transparent_huge_pages.empty() ? "not known" : facts.transparent_huge_pages,
                          facts.huge_pages, binary_size(facts.huge_page_bytes)));
}

void report_cache(Report& report) {
  const auto folder = cache_folder();
  const auto models = list_cached_models();
  Json list = Json::array();
  report.section("cache");
  report.line("folder", folder.string());
  if (models.empty()) report.line("models", "none");
  for (const CachedModel& model : models) {
    list.push_back(Json::object({{"name", model.name},
                                 {"family", model.family},
                                 {"precision", model.precision},
                                 {"weight_bytes", static_cast<uint64_t>(model.weight_bytes)},
                                 {"problem", model.problem.empty() ? Json() : Json(model.problem)}}));
    report.line(model.name, model.problem.empty()
                                ? fmt::format("{}{}, {}", model.family,
                                              model.precision.empty() ? "" : ", " + model.precision,
                                              format_bytes(static_cast<double>(model.weight_bytes)))
                                : "unusable: " + model.problem);
  }
  report.json.set("cache", Json::object({{"folder", folder.string()}, {"models", list}}));
}

void report_measures(Report& report, const CommonOptions& common) {
  ThreadPool pool(common.threads);
  const double f32 = measure_peak(pool, PeakKind::kFloat), i8 = measure_peak(pool, PeakKind::kInteger);
  const double bandwidth = measure_bandwidth(pool);
  // Below 1.1 the conversion of activations, which this does not count, eats the rest.
  const bool gain = i8 > 1.1 * f32;
  report.json.set("measured", Json::object({{"threads", pool.num_threads()},
                                            {"peak_fp32_gflops", f32 * 1e-9},
                                            {"peak_int8_gops", i8 * 1e-9},
                                            {"int8_over_fp32", i8 / f32},
                                            {"int8_gain", gain},
                                            {"bandwidth_gb_per_s", bandwidth * 1e-9}}));
  report.section("measured now");
  report.line("products",
              fmt::format("{:.0f} GFLOP/s FP32, {:.0f} GOP/s INT8: {:.1f}x{}", f32 * 1e-9, i8 * 1e-9,
                          i8 / f32, gain ? "" : "; INT8 brings no gain in speed here"));
  report.line("memory", fmt::format("{:.1f} GB/s read", bandwidth * 1e-9));
}

void report_model(Report& report, const CommonOptions& common) {
  const LoadedModel loaded = load_model(options.model, common, {});
  const auto groups = group_layers(loaded.model, *loaded.engine);
  Json list = Json::array();
  TextTable table({"  layers", "matrices", "outputs x inputs", "kernel", "zeros", "pattern"}, "lrllrl");
  std::vector<std::pair<std::string, int64_t>>
      verdicts;  // each once, with the number of matrices it is about
  for (const LayerGroup& group : groups) {
    list.push_back(Json::object({{"layers", group.name},
                                 {"matrices", group.matrices},
                                 {"outputs", group.out},
                                 {"inputs", group.in},
                                 {"kernel", group.kernel},
                                 {"sparse", group.sparse},
                                 {"pattern", to_string(group.pattern)},
                                 {"zeros", group.zeros},
                                 {"zero_blocks_4x1", group.zero_blocks},
                                 {"verdict", group.verdict.empty() ? Json() : Json(group.verdict)}}));
    table.add_row({"  " + group.name, fmt::format("{}", group.matrices),
                   fmt::format("{} x {}", group.out, group.in), group.kernel,
                   fmt::format("{:.1f} %", 100 * group.zeros),
                   group.pattern == ZeroPattern::kNone ? "" : to_string(group.pattern)});
    if (group.verdict.empty()) continue;
    auto known = std::find_if(verdicts.begin(), verdicts.end(),
                              [&](const auto& verdict) { return verdict.first == group.verdict; });
    if (known == verdicts.end()) known = verdicts.insert(known, {group.verdict, 0});
    known->second += group.matrices;
  }
  report.json.set("model", Json::object({{"folder", loaded.model.folder.string()}, {"products", list}}));
  report.section(loaded.model.folder.string());
  report.text += table.str();
  for (const auto& [verdict, matrices] : verdicts) {
    report.text += fmt::format("  {} matri{}: {}\n", matrices, matrices == 1 ? "x" : "ces", verdict);
  }
}

int run(const CommonOptions& common) {
  // A setting that stops every other command is a finding here.
  std::optional<std::string> problem;
  try {
    (void)isa_limit();
  } catch (const Error& error) {
    problem = error.what();
    force_isa_limit(usable_isas().back());
  }
  Report report;
  report_versions(report);
  report_cpu(report);
  report_kernels(report);
  report_threads(report, common);
  report_memory(report);
  report_cache(report);
  if (!options.model.empty()) report_model(report, common);
  if (options.measure) report_measures(report, common);
  Json problems = Json::array();
  if (problem) {
    problems.push_back(*problem);
    report.section("problem");
    report.text += "  " + *problem + "; other commands stop with this, the above is told without it\n";
  }
  report.json.set("problems", problems);
  if (common.json) {
    print_json(report.json);
  } else {
    print_text(report.text);
  }
  return kDone;
}

}  // namespace

extern const Command doctor_command;
const Command doctor_command = {"doctor", "what this machine offers, which kernels were chosen, and why",
                                "  penjing doctor\n  penjing doctor minilm-80\n  penjing doctor --measure\n"
                                "  PENJING_ISA=avx2 penjing doctor --json",
                                declare, run};

}  // namespace penjing::cli

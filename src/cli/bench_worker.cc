#include "cli/bench_worker.h"

#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "cli/bench_work.h"
#include "cli/command.h"
#include "cli/machine_peak.h"
#include "kernels/cpu.h"

namespace penjing::cli {

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

RaggedBatch read_batch(const Json& texts) {
  RaggedBatch batch;
  std::vector<int32_t> ids;
  for (const Json& text : texts.as_array("batch")) {
    ids.clear();
    for (const Json& id : text.as_array("text")) ids.push_back(static_cast<int32_t>(id.as_int("id")));
    batch.append(ids);
  }
  return batch;
}

// The mean of each sequence's rows, scaled to length 1.
void add_means(const Prediction& hidden, Json& rows) {
  for (std::size_t i = 0; i + 1 < hidden.row_offsets.size(); ++i) {
    std::vector<double> mean(static_cast<std::size_t>(hidden.dim));
    for (int64_t row = hidden.row_offsets[i]; row < hidden.row_offsets[i + 1]; ++row) {
      const auto values = hidden.row(row);
      for (std::size_t f = 0; f < mean.size(); ++f) mean[f] += values[f];
    }
    double sum = 0;
    for (const double x : mean) sum += x * x;
    Json values = Json::array();
    for (const double x : mean) values.push_back(x / std::sqrt(sum));
    rows.push_back(std::move(values));
  }
}

int64_t peak_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

void run_bench_worker(LoadedModel& loaded) {
  std::vector<RaggedBatch> batches;
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json request = Json::parse(line, "request");
    const Json* name = request.find("op");
    const std::string op = name == nullptr ? "" : name->as_string("op");
    Json reply = Json::object();
    if (op == "peaks") {
      reply = Json::object({{"isa", name_of(isa_limit())},
                            {"cpu", read_cpu_info().model},
                            {"fp32", measure_peak(*loaded.pool, PeakKind::kFloat)},
                            {"bf16", measure_peak(*loaded.pool, PeakKind::kBfloat)},
                            {"int8", measure_peak(*loaded.pool, PeakKind::kInteger)}});
    } else if (op == "load") {
      const Json* wanted = request.find("batches");
      if (wanted == nullptr) fail(ErrorKind::kInput, "load: batches are missing");
      batches.clear();
      Json rows = Json::array();
      for (const Json& texts : wanted->as_array("batches")) {
        batches.push_back(read_batch(texts));
        add_means(loaded.predictor->predict(batches.back(), {}), rows);
      }
      reply.set("rows", std::move(rows));
      double flops = 0;
      for (const RaggedBatch& batch : batches) {
        std::vector<int64_t> lengths;
        for (int64_t i = 0; i < batch.num_sequences(); ++i) lengths.push_back(batch.length(i));
        flops += flops_of(loaded.model.description, lengths);
      }
      reply.set("flops", flops);
      const auto kinds = loaded.engine->product_kinds();
      reply.set("arithmetic", kinds.empty() ? "fp32" : name_of(kinds.front().arithmetic));
    } else if (op == "time") {
      const Json* seconds = request.find("seconds");
      const double until = now() + (seconds == nullptr ? 0.3 : seconds->as_double("seconds"));
      Json times = Json::array();
      do {
        const double begin = now();
        for (const RaggedBatch& batch : batches) (void)loaded.predictor->predict(batch, {});
        times.push_back((now() - begin) * 1e3);
      } while (now() < until);
      reply.set("ms", std::move(times));
    } else if (op == "memory") {
      reply.set("peak_bytes", peak_bytes());
    } else {
      fail(ErrorKind::kInput, "op \"{}\": wanted peaks, load, time or memory", op);
    }
    std::cout << reply.dump() << std::endl;
  }
}

}  // namespace penjing::cli

#include "compress/apply.h"

#include "compress/provenance.h"

namespace penjing {

AppliedMethod apply_method(const Model& source, const Method& method, const Json& params,
                           MethodContext& context, const std::filesystem::path& out, const Json* recorded) {
  AppliedMethod applied;
  const Model result = method.apply(source, params, context, applied.report);
  check_model(result, true);
  std::uintmax_t bytes = 0;
  for (const auto& entry : result.tensors) bytes += entry.tensor.bytes.size();
  applied.before = measure_folder(source.folder);
  write_model(result, out,
              describe_provenance(
                  source, {method.name, recorded != nullptr ? *recorded : params, applied.report.details},
                  applied.before.weights, bytes, nullptr));
  applied.after = measure_folder(out);
  return applied;
}

}  // namespace penjing

#include "train/rank_agreement.h"

#include "base/error.h"
#include "base/hash.h"
#include "train/settings_digest.h"

namespace penjing::train {

namespace {

std::string hash_of(const Parameters& parameters) {
  std::string hashes;
  for (const Parameters::Entry& entry : parameters) {
    const at::Tensor flat = entry.tensor.detach().to(at::kCPU).contiguous();
    hashes += entry.name + " ";
    hashes += sha256_hex({static_cast<const std::byte*>(flat.data_ptr()), flat.nbytes()});
  }
  return sha256_hex(std::as_bytes(std::span(hashes)));
}

}  // namespace

void require_same_start(Communicator& communicator, const Parameters& parameters,
                        const LoopSettings& settings, std::span<const int64_t> tokens, int64_t step) {
  Json facts = digest_settings(settings);
  facts.set("number of examples", static_cast<int64_t>(tokens.size()));
  facts.set("hash of the examples' lengths", sha256_hex(std::as_bytes(tokens)));
  facts.set("step to go on from", step);
  facts.set("hash of the parameters", hash_of(parameters));
  const std::vector<std::string> all = communicator.gather(facts.dump());
  const Json first = Json::parse(all[0], "rank 0");
  for (std::size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    const Json other = Json::parse(all[r], fmt::format("rank {}", r));
    for (const auto& [name, value] : first.as_object("rank 0")) {
      const Json* theirs = other.find(name);
      if (theirs != nullptr && *theirs == value) continue;
      fail(
          ErrorKind::kInput,
          "rank {} does not train what rank 0 trains: {}: {}, rank 0: {} (every rank needs the same command, "
          "model, data and --out)",
          r, name, theirs == nullptr ? "none" : theirs->dump(), value.dump());
    }
    fail(ErrorKind::kInput, "rank {} runs another version of the program than rank 0", r);
  }
}

}  // namespace penjing::train

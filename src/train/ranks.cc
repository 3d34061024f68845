#include "train/ranks.h"

#include "base/error.h"
#include "base/interrupt.h"
#include "train/gloo_communicator.h"

namespace penjing::train {

void run_rank(const RankSettings& settings,
              const std::function<void(int threads, Communicator* communicator)>& work) {
  const LaunchEnvironment launch = read_launch_environment();
  if (!launch.distributed()) return work(settings.threads, nullptr);
  const int threads = settings.threads > 0 ? settings.threads : take_cpu_share(launch);
  const auto communicator = make_gloo_communicator(launch, {settings.timeout, settings.bucket_bytes});
  try {
    work(threads, communicator.get());
  } catch (const Interrupted&) {
    communicator->give_up("interrupted");
    throw;
  } catch (const Error& error) {
    communicator->give_up(error.what());
    fail(error.kind(), "rank {} of {}: {}", launch.rank, launch.size, error.what());
  } catch (const std::exception& error) {
    communicator->give_up(error.what());
    throw;
  }
}

void on_first(Communicator* communicator, const std::function<void()>& work) {
  if (communicator == nullptr) return work();
  communicator->on_first(work);
}

}  // namespace penjing::train

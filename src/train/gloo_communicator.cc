#include "train/gloo_communicator.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

// PENJING_GLOO: LibTorch has Gloo, and its headers lie beside LibTorch's (cmake/libtorch.cmake). PyPI's has
// none.
#ifdef PENJING_GLOO
#include <torch/csrc/autograd/utils/lambda_post_hook.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

#include "base/error.h"
#include "train/gradient_buckets.h"
#include "train/local_address.h"
#include "train/rank_monitor.h"

namespace penjing::train {

#ifdef PENJING_GLOO

namespace {

using Duration = std::chrono::milliseconds;
using torch::autograd::variable_list;
using Work = c10::intrusive_ptr<c10d::Work>;

Duration as_duration(double seconds) {
  return Duration(static_cast<int64_t>(seconds * 1000));
}

c10::intrusive_ptr<c10d::Store> connect(const LaunchEnvironment& launch, bool serve, double timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.port);
  options.isServer = serve;
  options.waitWorkers = false;
  options.timeout = as_duration(timeout);
  try {
    return c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    const std::string line = what.substr(0, what.find('\n'));
    if (serve) fail(ErrorKind::kIo, "rank 0 cannot be met at port {}: {}", launch.port, line);
    fail(ErrorKind::kIo, "rank {}: rank 0 was not met at {}:{} within {} s: {}", launch.rank, launch.address,
         launch.port, timeout, line);
  }
}

// What every rank says of itself on arrival, by rank: {"host address"}.
std::vector<std::pair<std::string, std::string>> meet(c10d::Store& store, const LaunchEnvironment& launch,
                                                      const std::string& address, double timeout) {
  if (store.add(fmt::format("arrivals/{}", launch.rank), 1) > 1) {
    fail(ErrorKind::kInput, "two processes are rank {} of {}", launch.rank, launch.size);
  }
  const std::string mine = host_name() + " " + address;
  store.set(fmt::format("rank/{}", launch.rank), std::vector<uint8_t>(mine.begin(), mine.end()));
  const auto until = std::chrono::steady_clock::now() + as_duration(timeout);
  std::vector<std::string> keys;
  for (int r = 0; r < launch.size; ++r) keys.push_back(fmt::format("rank/{}", r));
  while (!store.check(keys)) {
    if (std::chrono::steady_clock::now() > until) {
      std::string missing;
      for (int r = 0; r < launch.size; ++r) {
        if (!store.check({keys[r]})) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", r);
      }
      fail(ErrorKind::kIo, "of {} ranks these did not come within {} s: {}", launch.size, timeout, missing);
    }
    std::this_thread::sleep_for(Duration(20));
  }
  std::vector<std::pair<std::string, std::string>> ranks;
  for (const std::string& key : keys) {
    const std::vector<uint8_t> bytes = store.get(key);
    const std::string text(bytes.begin(), bytes.end());
    const std::size_t space = text.rfind(' ');
    ranks.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return ranks;
}

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(const LaunchEnvironment& launch, const CommunicatorSettings& settings)
      : rank_(launch.rank), size_(launch.size), bucket_bytes_(settings.bucket_bytes) {
    if (!(settings.timeout >= 1))
      fail(ErrorKind::kInput, "timeout {} s: wanted at least 1", settings.timeout);
    // A peer that is gone is an error to report, not a signal that ends this process.
    ::signal(SIGPIPE, SIG_IGN);
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    const bool named = interface != nullptr && *interface != 0;
    const std::string address = named ? "" : local_address_towards(launch.address, launch.port);
    store_ = connect(launch, rank_ == 0, settings.timeout);
    const auto ranks = meet(*store_, launch, named ? interface : address, settings.timeout);
    std::vector<std::string> names;
    for (int r = 0; r < size_; ++r) {
      names.push_back(fmt::format("rank {} ({})", r, ranks[r].first));
      if (!named && is_loopback(ranks[r].second) != is_loopback(address)) {
        fail(ErrorKind::kInput,
             "rank {} has the address {}, rank {} {}: one of them cannot be reached from another machine; "
             "set MASTER_ADDR to an address, or GLOO_SOCKET_IFNAME to the network interface",
             r, ranks[r].second, rank_, address);
      }
    }
    monitor_.emplace(connect(launch, false, settings.timeout), rank_, std::move(names),
                     as_duration(settings.timeout));
    try {
      auto options = c10d::ProcessGroupGloo::Options::create(as_duration(settings.timeout));
      options->devices.push_back(named ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                       : c10d::ProcessGroupGloo::createDeviceForHostname(address));
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
          c10::make_intrusive<c10d::PrefixStore>("gloo", store_), rank_, size_, options);
    } catch (const std::exception& error) {
      monitor_->exchange_failed(error.what());
    }
  }

  ~GlooCommunicator() override {
    for (const auto& [node, key] : hooks_) node->del_post_hook(key);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void watch(const Parameters& parameters) override {
    std::vector<int64_t> sizes;
    for (const Parameters::Entry& entry : parameters) {
      const std::size_t i = tensors_.size();
      tensors_.push_back(entry.tensor);
      sizes.push_back(entry.tensor.requires_grad() ? entry.tensor.numel() : 0);
      if (sizes.back() == 0) continue;
      const auto node = torch::autograd::impl::grad_accumulator(entry.tensor);
      const auto key = node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [this, i](const variable_list& outputs, const variable_list&) {
            gradient_is_ready(i);
            return outputs;
          }));
      hooks_.emplace_back(node, key);
    }
    buckets_ = lay_out_buckets(sizes, bucket_bytes_);
    bucket_of_.resize(tensors_.size());
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      buffers_.push_back(at::zeros({buckets_[b].size}, at::kFloat));
      for (const GradientBucket::Slot& slot : buckets_[b].slots) bucket_of_[slot.parameter] = b;
    }
    expected_.assign(tensors_.size(), true);
  }

  void begin_last_backward() override {
    monitor_->enter_exchange();
    armed_ = true;
    late_.assign(tensors_.size(), false);
    waiting_.assign(buckets_.size(), 0);
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      for (const GradientBucket::Slot& slot : buckets_[b].slots) waiting_[b] += expected_[slot.parameter];
    }
  }

  void finish_gradients() override {
    if (!armed_) begin_last_backward();
    armed_ = false;
    while (works_.size() < buckets_.size()) send_bucket();
    // [0]: ranks on which the parameter has a gradient; [1]: on which it came after its bucket was sent.
    const auto count = static_cast<int64_t>(tensors_.size());
    at::Tensor marks = at::zeros({2, count}, at::kFloat);
    float* with = marks.data_ptr<float>();
    float* after = with + count;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      with[i] = has_gradient(i) ? 1.0f : 0.0f;
      after[i] = late_[i] ? 1.0f : 0.0f;
    }
    works_.push_back(start_sum(marks));
    for (Work& work : works_) finish(work);
    works_.clear();
    for (const GradientBucket& bucket : buckets_) {
      for (const GradientBucket::Slot& slot : bucket.slots) {
        const std::size_t i = slot.parameter;
        expected_[i] = with[i] > 0;
        if (!expected_[i]) continue;
        at::Tensor sum = buffers_[bucket_of_[i]].narrow(0, slot.begin, slot.size).view(tensors_[i].sizes());
        if (after[i] > 0) {
          sum =
              has_gradient(i) ? tensors_[i].grad().contiguous() : at::zeros(tensors_[i].sizes(), at::kFloat);
          finish(start_sum(sum));
        }
        tensors_[i].mutable_grad() = sum;
      }
    }
  }

  void sum(std::vector<double>& numbers) override {
    monitor_->enter_exchange();
    finish(start_sum(at::from_blob(numbers.data(), {static_cast<int64_t>(numbers.size())}, at::kDouble)));
  }

  std::vector<std::string> gather(const std::string& text) override {
    std::vector<double> sizes(static_cast<std::size_t>(size_), 0);
    sizes[rank_] = static_cast<double>(text.size());
    sum(sizes);
    const auto longest = static_cast<int64_t>(*std::max_element(sizes.begin(), sizes.end()));
    std::vector<std::string> texts(static_cast<std::size_t>(size_));
    if (longest == 0) return texts;
    at::Tensor mine = at::zeros({longest}, at::kByte);
    std::copy(text.begin(), text.end(), mine.data_ptr<uint8_t>());
    std::vector<at::Tensor> input = {mine};
    std::vector<std::vector<at::Tensor>> output(1);
    for (int r = 0; r < size_; ++r) output[0].push_back(at::zeros({longest}, at::kByte));
    finish(group_->allgather(output, input));
    for (int r = 0; r < size_; ++r) {
      const uint8_t* begin = output[0][r].data_ptr<uint8_t>();
      texts[r].assign(begin, begin + static_cast<std::size_t>(sizes[r]));
    }
    return texts;
  }

  void on_first(const std::function<void()>& work) override {
    if (rank_ != 0) return monitor_->wait_for_first();
    work();
    monitor_->first_is_done();
  }

  void give_up(const std::string& reason) override { monitor_->give_up(reason); }

 private:
  bool has_gradient(std::size_t i) const {
    return tensors_[i].requires_grad() && tensors_[i].grad().defined();
  }

  void gradient_is_ready(std::size_t i) {
    if (!armed_) return;
    const std::size_t b = bucket_of_[i];
    if (b < works_.size()) {
      late_[i] = true;  // its bucket went out without it: no gradient was expected
      return;
    }
    if (expected_[i]) --waiting_[b];
    while (works_.size() < buckets_.size() && waiting_[works_.size()] == 0) send_bucket();
  }

  // The next one: buckets go out in the same order on every rank.
  void send_bucket() {
    const GradientBucket& bucket = buckets_[works_.size()];
    const at::Tensor& buffer = buffers_[works_.size()];
    buffer.zero_();
    for (const GradientBucket::Slot& slot : bucket.slots) {
      if (!has_gradient(slot.parameter)) continue;
      buffer.narrow(0, slot.begin, slot.size).copy_(tensors_[slot.parameter].grad().reshape({-1}));
    }
    works_.push_back(start_sum(buffer));
  }

  Work start_sum(const at::Tensor& tensor) {
    std::vector<at::Tensor> tensors = {tensor};
    return group_->allreduce(tensors);
  }

  void finish(const Work& work) {
    try {
      work->wait();
    } catch (const std::exception& error) {
      monitor_->exchange_failed(error.what());
    }
  }

  int rank_, size_;
  int64_t bucket_bytes_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  std::optional<RankMonitor> monitor_;

  std::vector<at::Tensor> tensors_;
  std::vector<std::pair<decltype(torch::autograd::Edge::function), uintptr_t>> hooks_;
  std::vector<GradientBucket> buckets_;
  std::vector<at::Tensor> buffers_;  // a bucket's sums; the gradients after a step are views of it
  std::vector<std::size_t> bucket_of_;
  std::vector<char> expected_, late_;  // by parameter: had a gradient in the last step; came too late in this
  std::vector<int> waiting_;           // by bucket: expected gradients that are not there yet
  std::vector<Work> works_;            // of the buckets sent in this step
  bool armed_ = false;
};

}  // namespace

const bool kHasGloo = true;

std::unique_ptr<Communicator> make_gloo_communicator(const LaunchEnvironment& launch,
                                                     const CommunicatorSettings& settings) {
  return std::make_unique<GlooCommunicator>(launch, settings);
}

#else

const bool kHasGloo = false;

std::unique_ptr<Communicator> make_gloo_communicator(const LaunchEnvironment& launch,
                                                     const CommunicatorSettings&) {
  fail(ErrorKind::kUnsupported,
       "{} ranks: this program was built without Gloo (LibTorch has none, or its headers gloo/*.h are not "
       "beside it; "
       "Debian: libgloo-dev)",
       launch.size);
}

#endif

}  // namespace penjing::train

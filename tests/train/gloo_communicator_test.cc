// Ranks as threads of this process, each with its own connection.
#include "train/gloo_communicator.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "tests/train/objective_steps.h"
#include "train/loop.h"
#include "train/rank_agreement.h"

namespace penjing::train {
namespace {

int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

LaunchEnvironment launch_of(int rank, int size, int port) {
  LaunchEnvironment launch;
  launch.rank = rank;
  launch.size = size;
  launch.address = "127.0.0.1";
  launch.port = port;
  return launch;
}

// What each rank threw, "" for nothing.
std::vector<std::string> run_ranks(int size, const CommunicatorSettings& settings,
                                   const std::function<void(Communicator&)>& work) {
  const int port = free_port();
  std::vector<std::string> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      at::set_num_threads(1);
      try {
        const auto communicator = make_gloo_communicator(launch_of(r, size, port), settings);
        work(*communicator);
      } catch (const std::exception& error) {
        errors[r] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

void expect_no_errors(const std::vector<std::string>& errors) {
  for (std::size_t r = 0; r < errors.size(); ++r) EXPECT_EQ(errors[r], "") << "rank " << r;
}

bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && a.sizes() == b.sizes() && a.eq(b).all().item<bool>();
}

class GlooCommunicator : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kHasGloo) GTEST_SKIP() << "this LibTorch has no Gloo";
  }
};

TEST_F(GlooCommunicator, GradientsAreSummedOverTheRanks) {
  constexpr int kRanks = 3;
  const auto errors = run_ranks(kRanks, {60, 64}, [](Communicator& ranks) {
    const auto r = static_cast<double>(ranks.rank());
    Parameters parameters;
    for (const char* name : {"rare", "first", "frozen", "second"}) {
      parameters.add(name, at::ones({3, 5}, at::kFloat));
    }
    at::Tensor rare = parameters.at("rare"), first = parameters.at("first"), second = parameters.at("second");
    at::Tensor frozen = parameters.at("frozen");
    frozen.set_requires_grad(false);
    ranks.watch(parameters);
    // The micro batch before the last one is not sent by itself. Sums: 1 + 2 + 3; twice 1 + 2 + 3, and 1 + 1
    // + 1.
    (first * (r + 1)).sum().backward();
    ranks.begin_last_backward();
    ((first * (r + 1)).sum() + second.sum() * frozen.sum()).backward();
    ranks.finish_gradients();
    EXPECT_TRUE(same(first.grad(), at::full({3, 5}, 12.0f)));
    EXPECT_TRUE(same(second.grad(), at::full({3, 5}, 45.0f)));
    EXPECT_FALSE(rare.grad().defined());
    EXPECT_FALSE(frozen.grad().defined());

    // `rare` has a gradient on one rank, after all buckets went out, since nobody expected one; another rank
    // has no examples.
    parameters.zero_gradients();
    if (ranks.rank() == 1) {
      ranks.begin_last_backward();
      const at::Tensor early = rare * 5.0;
      ((first * second) + early).sum().backward();
    } else if (ranks.rank() == 2) {
      ranks.begin_last_backward();
      (first * second).sum().backward();
    }
    ranks.finish_gradients();
    EXPECT_TRUE(same(rare.grad(), at::full({3, 5}, 5.0f)));
    EXPECT_TRUE(same(first.grad(), at::full({3, 5}, 2.0f)));
    EXPECT_TRUE(same(second.grad(), at::full({3, 5}, 2.0f)));

    // Nobody has any.
    parameters.zero_gradients();
    ranks.finish_gradients();
    EXPECT_FALSE(first.grad().defined());
  });
  expect_no_errors(errors);
}

TEST_F(GlooCommunicator, SumsTextsAndWorkOfTheFirst) {
  std::atomic<int> done = 0;
  const auto errors = run_ranks(4, {60}, [&](Communicator& ranks) {
    std::vector<double> numbers = {0.25, static_cast<double>(ranks.rank())};
    ranks.sum(numbers);
    EXPECT_EQ(numbers, (std::vector<double>{1, 6}));
    const auto texts = ranks.gather(std::string(static_cast<std::size_t>(ranks.rank()) * 100, 'x'));
    ASSERT_EQ(texts.size(), 4u);
    for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r], std::string(r * 100, 'x'));
    for (int i = 1; i <= 2; ++i) {
      ranks.on_first([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        ++done;
      });
      EXPECT_GE(done, i);
    }
  });
  expect_no_errors(errors);
  EXPECT_EQ(done, 2);
}

TEST_F(GlooCommunicator, ARankThatGivesUpIsNamedWithItsReason) {
  const auto errors = run_ranks(3, {60}, [](Communicator& ranks) {
    std::vector<double> numbers = {1};
    ranks.sum(numbers);
    if (ranks.rank() == 1) {
      ranks.give_up("no space left");
      fail(ErrorKind::kIo, "no space left");
    }
    for (;;) ranks.sum(numbers);
  });
  for (const int r : {0, 2}) {
    EXPECT_NE(errors[r].find("rank 1 ("), std::string::npos) << errors[r];
    EXPECT_NE(errors[r].find("stopped: no space left"), std::string::npos) << errors[r];
  }
}

TEST_F(GlooCommunicator, ARankThatDoesNotComeIsNamed) {
  const auto begin = std::chrono::steady_clock::now();
  const auto errors = run_ranks(3, {2}, [](Communicator& ranks) {
    std::vector<double> numbers = {1};
    if (ranks.rank() == 2) std::this_thread::sleep_for(std::chrono::seconds(16));
    ranks.sum(numbers);
  });
  for (const int r : {0, 1}) {
    EXPECT_NE(errors[r].find("rank 2 ("), std::string::npos) << errors[r];
    EXPECT_NE(errors[r].find("did not come to exchange 1"), std::string::npos) << errors[r];
  }
  EXPECT_NE(errors[2], "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST_F(GlooCommunicator, AMissingRankIsNamedAtTheStart) {
  try {
    make_gloo_communicator(launch_of(0, 3, free_port()), {1});
    FAIL() << "met nobody";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did not come within 1 s: 1, 2"), std::string::npos)
        << error.what();
  }
}

TEST_F(GlooCommunicator, RanksThatWouldTrainSomethingElseAreRefused) {
  const auto errors = run_ranks(3, {60}, [](Communicator& ranks) {
    Parameters parameters;
    parameters.add("weight", at::ones({2, 2}, at::kFloat));
    LoopSettings settings;
    const std::vector<int64_t> tokens = {5, 7};
    require_same_start(ranks, parameters, settings, tokens, 0);
    if (ranks.rank() == 2) settings.learning_rate = 0.5;
    require_same_start(ranks, parameters, settings, tokens, 0);
  });
  for (const std::string& error : errors) {
    EXPECT_NE(error.find("rank 2 does not train what rank 0 trains: learning_rate: 0.5"), std::string::npos)
        << error;
  }
  const auto other_weights = run_ranks(2, {60}, [](Communicator& ranks) {
    Parameters parameters;
    parameters.add("weight", at::full({2, 2}, ranks.rank() == 0 ? 1.0f : 1.0000001f));
    require_same_start(ranks, parameters, LoopSettings(), std::vector<int64_t>{5}, 0);
  });
  EXPECT_NE(other_weights[1].find("hash of the parameters"), std::string::npos) << other_weights[1];
}

// Sentences of the tiny vocabulary; the class is whether there is a cat.
void write_sentences(const std::filesystem::path& file, int count) {
  Rng rng(11);
  std::string text = "sentence\tlabel\n";
  for (int i = 0; i < count; ++i) {
    const uint64_t words = 3 + rng.below(12);
    bool cat = false;
    for (uint64_t w = 0; w < words; ++w) {
      const std::string word = testing::kTinyWords[rng.below(std::size(testing::kTinyWords))];
      cat |= word == "cat";
      text += (w == 0 ? "" : " ") + word;
    }
    text += cat ? "\t1\n" : "\t0\n";
  }
  write_bytes(file, text);
}

struct Curve {
  std::vector<double> losses, weights;
};

Curve train_on(const TestFolder& folder, int ranks, int64_t bucket_bytes) {
  std::vector<Curve> curves(static_cast<std::size_t>(ranks));
  const auto work = [&](Communicator* communicator) {
    ObjectiveRun run(folder / "model", "classification", folder / "data", Json::object(), "");
    LoopSettings settings;
    settings.max_steps = 50;
    settings.batches.batch_size =
        6;                       // a rank of four has one or two examples, in an epoch's last step maybe none
    settings.micro_tokens = 20;  // several micro batches on few ranks
    settings.learning_rate = 1e-3;
    settings.hidden_dropout = settings.attention_dropout = settings.classifier_dropout = 0.1;
    Curve& curve = curves[communicator == nullptr ? 0 : static_cast<std::size_t>(communicator->rank())];
    train(run.network, *run.objective, settings, false, communicator,
          [&](const StepLog& log) { curve.losses.push_back(log.loss); });
    for (const auto& entry : run.network.parameters) {
      const at::Tensor values = entry.tensor.detach().to(at::kDouble).flatten();
      for (int64_t i = 0; i < values.numel(); ++i) curve.weights.push_back(values.data_ptr<double>()[i]);
    }
  };
  if (ranks == 1) {
    work(nullptr);
  } else {
    expect_no_errors(run_ranks(ranks, {120, bucket_bytes}, [&](Communicator& c) { work(&c); }));
  }
  for (const Curve& curve : curves) {
    EXPECT_EQ(curve.losses, curves[0].losses);
    EXPECT_EQ(curve.weights, curves[0].weights);
  }
  return curves[0];
}

TEST_F(GlooCommunicator, TwoAndFourRanksGiveTheLossCurveOfOne) {
  const TestFolder folder("ranks");
  testing::write_tiny_folder(folder / "model", testing::TinyHead::kClassifier);
  write_sentences(folder / "data/train.tsv", 31);
  const Curve one = train_on(folder, 1, 0);
  ASSERT_EQ(one.losses.size(), 50u);
  EXPECT_LT(one.losses.back(), 0.95 * one.losses.front());
  for (const int ranks : {2, 4}) {
    const Curve several = train_on(folder, ranks, 4096);
    ASSERT_EQ(several.losses.size(), one.losses.size());
    double worst = 0, distance = 0, size = 0;
    for (std::size_t i = 0; i < one.losses.size(); ++i) {
      worst = std::max(worst, std::abs(several.losses[i] - one.losses[i]) / one.losses[i]);
    }
    for (std::size_t i = 0; i < one.weights.size(); ++i) {
      distance += std::pow(several.weights[i] - one.weights[i], 2);
      size += std::pow(one.weights[i], 2);
    }
    RecordProperty(fmt::format("loss_error_{}_ranks", ranks), fmt::format("{:.2e}", worst));
    EXPECT_LE(worst, 1e-5) << ranks << " ranks";
    EXPECT_LE(std::sqrt(distance / size), 1e-4) << ranks << " ranks";
    EXPECT_EQ(train_on(folder, ranks, 4096).losses, several.losses) << "the same ranks, the same bits";
  }
}

}  // namespace
}  // namespace penjing::train

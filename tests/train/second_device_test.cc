#include "tests/train/second_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR >= 2
#include <ATen/detail/PrivateUse1HooksInterface.h>
#endif

#include <map>
#include <mutex>

namespace penjing::testing {
namespace {

constexpr std::size_t kBytes = std::size_t{1} << 30;  // of addresses; memory is there where it is written

// Addresses of the device stand for equal offsets in the memory of the host.
class Memory {
 public:
  static Memory& get() {
    static Memory& memory = *new Memory;  // outlives every tensor
    return memory;
  }
  void* take(std::size_t bytes) {
    bytes = (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64;
    const std::lock_guard lock(mutex_);
    std::vector<char*>& free = free_[bytes];
    char* found = free.empty() ? device_ + used_ : free.back();
    if (free.empty()) {
      TORCH_CHECK(used_ + bytes <= kBytes, "the second device is full");
      used_ += bytes;
    } else {
      free.pop_back();
    }
    sizes_[found] = bytes;
    return found;
  }
  void give_back(void* address) {
    const std::lock_guard lock(mutex_);
    free_[sizes_.at(static_cast<char*>(address))].push_back(static_cast<char*>(address));
  }
  void* on_host(void* address) const {
    return address == nullptr ? nullptr : host_ + (static_cast<char*>(address) - device_);
  }

 private:
  static char* map(int protection) {
    void* all = ::mmap(nullptr, kBytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORCH_CHECK(all != MAP_FAILED, "mmap");
    return static_cast<char*>(all);
  }
  char* const device_ = map(PROT_NONE);
  char* const host_ = map(PROT_READ | PROT_WRITE);
  std::size_t used_ = 0;
  std::map<std::size_t, std::vector<char*>> free_;
  std::map<char*, std::size_t> sizes_;
  std::mutex mutex_;
};

void give_back(void* address) {
  Memory::get().give_back(address);
}

struct Allocator final : at::Allocator {
#if TORCH_VERSION_MAJOR >= 2
  at::DataPtr allocate(std::size_t bytes) override {
#else
  at::DataPtr allocate(std::size_t bytes) const override {
#endif
    void* address = Memory::get().take(bytes);
    return {address, address, &give_back, second_device()};
  }
  at::DeleterFnPtr raw_deleter() const override {
    return &give_back;
  }
#if TORCH_VERSION_MAJOR >= 2
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(Memory::get().on_host(to), Memory::get().on_host(const_cast<void*>(from)), bytes);
  }
#endif
};

Allocator& allocator() {
  static Allocator& all = *new Allocator;
  return all;
}

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef sizes, c10::optional<at::ScalarType> type, c10::optional<at::Layout>,
                 c10::optional<at::Device>, c10::optional<bool>, c10::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &allocator(), kKeys, c10::dtype_or_default(type), format);
}
at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, c10::optional<at::ScalarType> type,
                         c10::optional<at::Layout>, c10::optional<at::Device>, c10::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &allocator(), kKeys, c10::dtype_or_default(type));
}

// The same elements as a tensor of the CPU.
at::Tensor on_host(const at::Tensor& x) {
  if (!x.defined() || x.device().is_cpu()) return x;
  return at::from_blob(Memory::get().on_host(x.data_ptr()), x.sizes(), x.strides(),
                       x.options().device(at::kCPU));
}
at::Tensor to_device(const at::Tensor& x) {
  if (!x.defined()) return x;
  const at::Tensor out =
      at::detail::empty_strided_generic(x.sizes(), x.strides(), &allocator(), kKeys, x.scalar_type());
  on_host(out).copy_(x);
  return out;
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_host(to).copy_(on_host(from));
  return to;
}

void require_here(const c10::OperatorHandle& op, const at::Tensor& x) {
  TORCH_CHECK(!x.defined() || x.device().type() == at::kPrivateUse1 || (x.device().is_cpu() && x.dim() == 0),
              "Expected all tensors to be on the same device, but found ", x.device(), " of ", x.sizes(),
              " in ", op.schema().name());
}

bool is_written(const c10::Argument& argument) {
  return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
}

// Puts into `out` what an operation has written, of whatever shape.
void adopt(const at::Tensor& out, const at::Tensor& written) {
  if (out.sizes().equals(written.sizes())) {
    on_host(out).copy_(written);
    return;
  }
  const at::Tensor here = to_device(written);
  out.unsafeGetTensorImpl()->set_storage_keep_dtype(here.storage());
  out.unsafeGetTensorImpl()->set_sizes_and_strides(here.sizes(), here.strides());
}

// Every operation that is not registered below: the CPU's, on the same memory.
void compute(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& arguments = op.schema().arguments();
  const auto& returns = op.schema().returns();
  const torch::jit::Stack given(stack->end() - static_cast<std::ptrdiff_t>(arguments.size()), stack->end());
  stack->resize(stack->size() - arguments.size());
  torch::jit::Stack inner;
  for (std::size_t a = 0; a < given.size(); ++a) {
    const c10::IValue& value = given[a];
    if (value.isTensor()) {
      const at::Tensor& x = value.toTensor();
      require_here(op, x);
      // A tensor of its own for what is written: operations change the shape of their `out` as they like.
      inner.emplace_back(!is_written(arguments[a]) || !x.defined() ? on_host(x)
                         : arguments[a].kwarg_only() ? at::empty({0}, x.options().device(at::kCPU))
                                                     : on_host(x).clone());
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> list;
      for (const at::Tensor& x : value.toTensorVector()) {
        require_here(op, x);
        list.push_back(on_host(x));
      }
      inner.emplace_back(list);
    } else if (value.isOptionalTensorList()) {
      c10::List<c10::optional<at::Tensor>> list;
      for (const c10::optional<at::Tensor>& x : value.toOptionalTensorVector()) {
        if (x) require_here(op, *x);
        list.push_back(x ? c10::optional<at::Tensor>(on_host(*x)) : x);
      }
      inner.emplace_back(list);
    } else if (value.isDevice()) {
      inner.emplace_back(at::Device(at::kCPU));
    } else {
      inner.push_back(value);
    }
  }
  const torch::jit::Stack kept = inner;  // what is returned may refer to an argument without owning it
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &inner);
  for (std::size_t r = 0; r < returns.size(); ++r) {
    const c10::AliasInfo* alias = returns[r].alias_info();
    if (alias == nullptr) {
      if (inner[r].isTensorList()) {
        std::vector<at::Tensor> list;
        for (const at::Tensor& x : inner[r].toTensorVector()) list.push_back(to_device(x));
        stack->emplace_back(list);
      } else {
        stack->push_back(inner[r].isTensor() ? c10::IValue(to_device(inner[r].toTensor())) : inner[r]);
      }
      continue;
    }
    TORCH_CHECK(alias->isWrite(), "a view, which the second device has not got: ", op.schema().name());
    for (std::size_t a = 0; a < arguments.size(); ++a) {
      if (!is_written(arguments[a]) || arguments[a].alias_info()->beforeSets() != alias->beforeSets())
        continue;
      const at::Tensor &out = given[a].toTensor(), &written = inner[r].toTensor();
      adopt(out, written);
      stack->push_back(given[a]);
    }
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>());
}
TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(&at::native::view));
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}

// One device with one stream; all is done when a call returns, so that there is no event to wait for.
struct Guard final : public c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return at::kPrivateUse1; }
  at::Device exchangeDevice(at::Device) const override { return second_device(); }
  at::Device getDevice() const override { return second_device(); }
  void setDevice(at::Device) const override {}
  void uncheckedSetDevice(at::Device) const noexcept override {}
  c10::Stream getStream(at::Device) const noexcept override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, second_device()); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

#if TORCH_VERSION_MAJOR >= 2
// Newer LibTorch differentiates on a device that says that it is there.
struct Hooks final : public at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
};
[[maybe_unused]] const bool is_registered = [] {
  c10::register_privateuse1_backend("second");
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();
#endif

TEST(SecondDevice, ComputesAsTheCpuAndTakesItsOwnTensorsAlone) {
  const at::Tensor a = at::randn({5, 7}), b = at::randn({7, 3}), number = at::full({}, 2.0);
  const at::Tensor on = a.to(second_device()), other = b.to(second_device());
  EXPECT_EQ(on.device(), second_device());
  EXPECT_TRUE(on.cpu().equal(a));
  EXPECT_TRUE(((at::mm(on, other) + 1) * number).cpu().equal((at::mm(a, b) + 1) * number));
  EXPECT_TRUE(on.t().narrow(0, 2, 3).contiguous().cpu().equal(a.t().narrow(0, 2, 3)));
  EXPECT_THROW((void)at::mm(on, b), c10::Error);
  EXPECT_THROW((void)(on + a), c10::Error);
  EXPECT_THROW((void)on.index_select(0, at::tensor({1, 2}, at::kLong)), c10::Error);
  volatile float read = 0;
  EXPECT_DEATH(read = on.data_ptr<float>()[0], "");
  (void)read;
}

TEST(SecondDevice, Differentiates) {
  at::Tensor a = at::randn({5, 7}), b = at::randn({7, 3});
  at::Tensor on = a.to(second_device()), other = b.to(second_device());
  for (at::Tensor* x : {&a, &b, &on, &other}) x->set_requires_grad(true);
  at::softmax(at::mm(a, b), 1).square().sum().backward();
  at::softmax(at::mm(on, other), 1).square().sum().backward();
  EXPECT_EQ(on.grad().device(), second_device());
  EXPECT_TRUE(on.grad().cpu().equal(a.grad()));
  EXPECT_TRUE(other.grad().cpu().equal(b.grad()));
}

}  // namespace

at::Device second_device() {
  return {at::kPrivateUse1, 0};
}

}  // namespace penjing::testing

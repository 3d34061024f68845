#include "data/byte_source.h"

#include <lzma.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/error.h"

namespace penjing {

namespace {

constexpr std::size_t kBlockBytes = 1u << 16;
constexpr uint64_t kMaxDecoderBytes = 256u
                                      << 20;  // xz -9 wants 65 MiB; a file made to exhaust us up to 4 GiB

int keep_open(std::FILE*) {
  return 0;
}

class PlainFile final : public ByteSource {
 public:
  explicit PlainFile(const std::filesystem::path& path)
      : file_(stdin, keep_open), name_(path == "-" ? "standard input" : path.string()) {
    if (path == "-") return;
    file_ = {std::fopen(path.c_str(), "rb"), std::fclose};
    if (file_ == nullptr) fail(ErrorKind::kIo, "{}: cannot open: {}", name_, std::strerror(errno));
  }

  std::size_t read(std::span<char> out) override {
    const std::size_t got = std::fread(out.data(), 1, out.size(), file_.get());
    if (std::ferror(file_.get()) != 0)
      fail(ErrorKind::kIo, "{}: cannot read: {}", name_, std::strerror(errno));
    return got;
  }

  void skip(uint64_t bytes) override {
    struct stat status;
    if (fstat(fileno(file_.get()), &status) == 0 && S_ISREG(status.st_mode)) {
      const auto here = static_cast<uint64_t>(ftello(file_.get()));
      if (here + bytes > static_cast<uint64_t>(status.st_size)) {
        fail(ErrorKind::kFormat, "{}: has {} bytes, wanted at least {}", name_, status.st_size, here + bytes);
      }
      if (fseeko(file_.get(), static_cast<off_t>(bytes), SEEK_CUR) != 0)
        fail(ErrorKind::kIo, "{}: cannot seek: {}", name_, std::strerror(errno));
      return;
    }
    read_past(*this, bytes, name_);
  }

  static void read_past(ByteSource& source, uint64_t bytes, const std::string& name) {
    std::array<char, kBlockBytes> block;
    while (bytes > 0) {
      const std::size_t wanted = static_cast<std::size_t>(std::min<uint64_t>(bytes, block.size()));
      const std::size_t got = source.read(std::span(block).first(wanted));
      if (got == 0) fail(ErrorKind::kFormat, "{}: ends {} bytes before the place wanted", name, bytes);
      bytes -= got;
    }
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::string name_;
};

class XzFile final : public ByteSource {
 public:
  explicit XzFile(const std::filesystem::path& path)
      : file_(path), name_(path.string()), block_(kBlockBytes, '\0') {
    if (lzma_stream_decoder(&stream_, kMaxDecoderBytes, LZMA_CONCATENATED) != LZMA_OK)
      fail(ErrorKind::kResource, "{}: no memory to decompress", name_);
  }
  ~XzFile() override { lzma_end(&stream_); }
  XzFile(const XzFile&) = delete;
  XzFile& operator=(const XzFile&) = delete;

  std::size_t read(std::span<char> out) override {
    stream_.next_out = reinterpret_cast<uint8_t*>(out.data());
    stream_.avail_out = out.size();
    while (!ended_ && stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !last_) {
        const std::size_t got = file_.read(block_);
        stream_.next_in = reinterpret_cast<const uint8_t*>(block_.data());
        stream_.avail_in = got;
        last_ = got == 0;
      }
      const lzma_ret result = lzma_code(&stream_, last_ ? LZMA_FINISH : LZMA_RUN);
      if (result == LZMA_STREAM_END) {
        ended_ = true;
      } else if (result == LZMA_MEMLIMIT_ERROR) {
        fail(ErrorKind::kResource, "{}: wants more than {} MiB of memory to be decompressed", name_,
             kMaxDecoderBytes >> 20);
      } else if (result == LZMA_MEM_ERROR) {
        fail(ErrorKind::kResource, "{}: no memory to decompress", name_);
      } else if (result == LZMA_FORMAT_ERROR) {
        fail(ErrorKind::kFormat, "{}: not in the .xz format", name_);
      } else if (result != LZMA_OK) {
        fail(ErrorKind::kFormat, "{}: {}", name_,
             last_ ? "the .xz data are cut off" : "the .xz data are damaged");
      }
    }
    return out.size() - stream_.avail_out;
  }

  void skip(uint64_t bytes) override { PlainFile::read_past(*this, bytes, name_); }

 private:
  PlainFile file_;
  std::string name_, block_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool last_ = false, ended_ = false;
};

class GzFile final : public ByteSource {
 public:
  explicit GzFile(const std::filesystem::path& path) : file_(nullptr, gzclose), name_(path.string()) {
    // zlib would read a file that is no .gz file as it is.
    std::array<char, 2> magic{};
    const std::size_t got = PlainFile(path).read(magic);
    if (got != 0 && (got != 2 || magic[0] != '\x1f' || magic[1] != '\x8b'))
      fail(ErrorKind::kFormat, "{}: not in the .gz format", name_);
    file_.reset(gzopen(path.c_str(), "rb"));
    if (file_ == nullptr) fail(ErrorKind::kIo, "{}: cannot open: {}", name_, std::strerror(errno));
    gzbuffer(file_.get(), static_cast<unsigned>(kBlockBytes));
  }

  std::size_t read(std::span<char> out) override {
    const int got =
        gzread(file_.get(), out.data(), static_cast<unsigned>(std::min<std::size_t>(out.size(), 1u << 30)));
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    if (got >= 0 && (code == Z_OK || code == Z_STREAM_END)) return static_cast<std::size_t>(got);
    if (code == Z_ERRNO) fail(ErrorKind::kIo, "{}: cannot read: {}", name_, std::strerror(errno));
    if (code == Z_BUF_ERROR) fail(ErrorKind::kFormat, "{}: the .gz data are cut off", name_);
    fail(ErrorKind::kFormat, "{}: the .gz data are damaged: {}", name_, message);
  }

  void skip(uint64_t bytes) override { PlainFile::read_past(*this, bytes, name_); }

 private:
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
  std::string name_;
};

}  // namespace

bool is_compressed(const std::filesystem::path& path) {
  return path.extension() == ".xz" || path.extension() == ".gz";
}

std::filesystem::path content_name(const std::filesystem::path& path) {
  return is_compressed(path) ? path.stem() : path.filename();
}

std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  for (const char* other : {".zst", ".bz2", ".zip", ".lz4", ".7z"}) {
    if (extension == other)
      fail(ErrorKind::kUnsupported, "{}: compressed files may be .xz or .gz", path.string());
  }
  if (extension == ".xz") return std::make_unique<XzFile>(path);
  if (extension == ".gz") return std::make_unique<GzFile>(path);
  return std::make_unique<PlainFile>(path);
}

}  // namespace penjing

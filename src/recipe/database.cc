#include "recipe/database.h"

#include <sqlite3.h>

#include <chrono>
#include <thread>

#include "base/error.h"

namespace penjing {

namespace {

constexpr int kBusyMilliseconds = 30'000;

ErrorKind kind_of(int status) {
  switch (status & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return ErrorKind::kFormat;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return ErrorKind::kResource;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return ErrorKind::kIo;
    default:
      return ErrorKind::kInternal;
  }
}

}  // namespace

Database::Database(std::filesystem::path path, bool create) : path_(std::move(path)) {
  const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
  const int status = ::sqlite3_open_v2(path_.c_str(), &handle_, flags, nullptr);
  if (status != SQLITE_OK) {
    const std::string message = handle_ != nullptr ? ::sqlite3_errmsg(handle_) : ::sqlite3_errstr(status);
    ::sqlite3_close(handle_);
    fail(kind_of(status), "{}: {}", path_.string(), message);
  }
  ::sqlite3_busy_timeout(handle_, kBusyMilliseconds);
}

Database::~Database() {
  ::sqlite3_close(handle_);
}

void Database::fail_status(int status) const {
  const ErrorKind kind = kind_of(status);
  const char* hint = "";
  if ((status & 0xff) == SQLITE_NOTADB) hint = " (not a SQLite file)";
  if ((status & 0xff) == SQLITE_CORRUPT) hint = " (the file is damaged)";
  if ((status & 0xff) == SQLITE_BUSY) hint = " (another process has kept it locked for 30 s)";
  fail(kind, "{}: {}{}", path_.string(), ::sqlite3_errmsg(handle_), hint);
}

void Database::execute(const char* sql) {
  const int status = ::sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) fail_status(status);
}

int64_t Database::number(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0).value_or(0) : 0;
}

int64_t Database::last_insert_id() const {
  return ::sqlite3_last_insert_rowid(handle_);
}

void Database::use_write_ahead_log() {
  // The change of mode wants the file for itself and does not wait for it (SQLite calls no busy handler
  // then).
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyMilliseconds);
  for (;;) {
    const int status = ::sqlite3_exec(handle_, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    if (status == SQLITE_OK) return;
    if ((status & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() > until) fail_status(status);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  const int status =
      ::sqlite3_prepare_v2(database.handle_, sql.data(), static_cast<int>(sql.size()), &handle_, nullptr);
  if (status != SQLITE_OK) database.fail_status(status);
}

Statement::~Statement() {
  ::sqlite3_finalize(handle_);
}

void Statement::bind(int parameter, int64_t value) {
  if (const int status = ::sqlite3_bind_int64(handle_, parameter, value)) database_.fail_status(status);
}

void Statement::bind(int parameter, double value) {
  if (const int status = ::sqlite3_bind_double(handle_, parameter, value)) database_.fail_status(status);
}

void Statement::bind(int parameter, std::string_view value) {
  // An empty view may have no address, which would be bound as NULL.
  const char* begin = value.empty() ? "" : value.data();
  const int status =
      ::sqlite3_bind_text64(handle_, parameter, begin, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (status != SQLITE_OK) database_.fail_status(status);
}

bool Statement::step() {
  const int status = ::sqlite3_step(handle_);
  if (status != SQLITE_ROW && status != SQLITE_DONE) database_.fail_status(status);
  return status == SQLITE_ROW;
}

std::string Statement::text(int column) const {
  const unsigned char* text = ::sqlite3_column_text(handle_, column);
  if (text == nullptr) return "";
  return {reinterpret_cast<const char*>(text),
          static_cast<std::size_t>(::sqlite3_column_bytes(handle_, column))};
}

std::optional<int64_t> Statement::integer(int column) const {
  if (::sqlite3_column_type(handle_, column) == SQLITE_NULL) return std::nullopt;
  return ::sqlite3_column_int64(handle_, column);
}

std::optional<double> Statement::real(int column) const {
  if (::sqlite3_column_type(handle_, column) == SQLITE_NULL) return std::nullopt;
  return ::sqlite3_column_double(handle_, column);
}

Transaction::Transaction(Database& database, Lock lock) : database_(database) {
  database_.execute(lock == Lock::kWrite ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  if (open_) ::sqlite3_exec(database_.handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace penjing

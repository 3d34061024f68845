#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace penjing {

// One connection to a SQLite file; the only place that knows SQLite. A lock held by another process is waited
// for up to 30 s. Every error is an Error that names the file: kFormat when it is damaged or no SQLite
// database, kResource when the disk is full, kIo when the operating system refuses or a lock is not given up.
class Database {
 public:
  // `create`: makes the file when there is none; else kIo.
  Database(std::filesystem::path path, bool create);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void execute(const char* sql);    // statements without results
  int64_t number(const char* sql);  // the first column of the first row
  int64_t last_insert_id() const;
  // Write-ahead log: readers and a writer do not wait for each other. Stays off where the file system has no
  // shared memory; locks are right then too.
  void use_write_ahead_log();
  [[noreturn]] void fail_status(int status) const;

 private:
  friend class Statement;
  friend class Transaction;
  std::filesystem::path path_;
  sqlite3* handle_ = nullptr;
};

// A prepared statement. Parameters count from 1, columns from 0.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(int parameter, int64_t value);
  void bind(int parameter, double value);
  void bind(int parameter, std::string_view value);
  template <typename T>
  void bind(int parameter, const std::optional<T>& value) {  // NULL where there is none
    if (value.has_value()) bind(parameter, *value);
  }
  bool step();  // true: there is a row

  std::string text(int column) const;
  std::optional<int64_t> integer(int column) const;
  std::optional<double> real(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

// All reads in it see the file as at the first of them. kWrite takes the write lock at once. Rolls back
// unless commit() was called.
class Transaction {
 public:
  enum class Lock { kRead, kWrite };
  Transaction(Database& database, Lock lock);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace penjing

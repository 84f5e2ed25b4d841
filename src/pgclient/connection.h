// A blocking PostgreSQL connection with deadlines: what agent and manager ask servers with.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/secret.h"
#include "net/tls_context.h"

namespace pgb::pgclient {

struct ConnInfo {
  std::string host;  // IP address, "localhost", or a directory that holds the Unix socket ("/…")
  uint16_t port = 5432;
  std::string user;
  Secret password;
  std::string database;
  std::string application_name = "pgbalancer";
  std::string options;       // as in the startup packet: "-c name=value"; empty: none
  net::TlsToServer tls;      // not over a Unix socket
  std::string tls_host;      // what the server's certificate must be for, if that is verified; empty: `host`
  bool replication = false;  // IDENTIFY_SYSTEM, CREATE_REPLICATION_SLOT …; with a database SQL, too
};

// Rows as text; SQL NULL is nothing.
struct ResultSet {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  std::string command_tag;

  // The value at row, column name; empty text for NULL or where there is none.
  std::string get(size_t row, std::string_view column) const;
};

class Connection {
 public:
  // Connects and authenticates (trust, password over Unix socket only, md5, SCRAM-SHA-256 with and without PLUS).
  // kUnreachable, kTimeout, kAuth (SQLSTATE class 28), kSql (the server's other refusals, with SQLSTATE
  // as detail "sqlstate"), kProtocol.
  static Result<std::unique_ptr<Connection>> open(const ConnInfo& info, Deadline deadline);
  virtual ~Connection() = default;

  // Simple query protocol; several statements give several results. After kTimeout, kProtocol or
  // kIo the connection is dead; after kSql it can be used on. One thread at a time.
  virtual Result<std::vector<ResultSet>> query(const std::string& sql, Deadline deadline) = 0;

  // To be polled between two queries: something to read says that it has ended, or that the next query reads it.
  virtual int fd() const = 0;

  // Parameters the server reported: server_version, in_hot_standby …
  virtual const std::map<std::string, std::string>& parameters() const = 0;
};

std::string quote_literal(std::string_view text);     // 'it''s', E'…' where a backslash needs it
std::string quote_identifier(std::string_view name);  // "my ""table"""

}  // namespace pgb::pgclient

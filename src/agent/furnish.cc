// Roles, database and init SQL of a new primary.
#include "agent/bootstrap.h"
#include "pgclient/connection.h"
#include "pgwire/scram.h"

namespace pgb::agent {

using pgclient::Connection;
using pgclient::quote_identifier;
using pgclient::quote_literal;
using std::chrono::minutes;

static Result<std::unique_ptr<Connection>> connect(const AgentConfig& config, const std::string& database) {
  pgclient::ConnInfo info;
  info.host = config.local_host();
  info.port = config.port;
  info.user = config.superuser;
  info.password = config.superuser_password;
  info.database = database;
  info.application_name = "pgbalancer_agent";
  auto connection = Connection::open(info, Deadline::after(minutes(1)));
  if (!connection.ok()) return connection;
  // In strict mode commits wait for a replica, and no replica can copy what has no roles yet. Nobody was told of any of
  // this before the first replica has it.
  auto set = (*connection)->query("SET synchronous_commit = local", Deadline::after(minutes(1)));
  if (!set.ok()) return std::move(set).error();
  return connection;
}

// The server gets the SCRAM verifier, so that no log of statements can hold the password.
static Result<std::string> role_sql(const std::string& name, const Secret& password, const std::string& attributes) {
  auto verifier = pgwire::build_scram_verifier(password);
  if (!verifier.ok()) return std::move(verifier).error().in("role " + name);
  const std::string role = quote_identifier(name);
  return "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = " + quote_literal(name) +
         ") THEN CREATE ROLE " + role + "; END IF; END $do$; ALTER ROLE " + role + " LOGIN " + attributes +
         " PASSWORD " + quote_literal(pgwire::to_text(*verifier).reveal()) + ";\n";
}

// What the balancer may ask: one role's verifier. Superusers' too, since applications log in as them.
static const char kAuthFunction[] =
    "CREATE SCHEMA IF NOT EXISTS pgbalancer;\n"
    "GRANT USAGE ON SCHEMA pgbalancer TO pgbalancer;\n"
    "CREATE OR REPLACE FUNCTION pgbalancer.get_auth(role_name text) RETURNS text\n"
    "  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS\n"
    "  $f$ SELECT rolpassword::text FROM pg_catalog.pg_authid WHERE rolname = role_name AND rolcanlogin\n"
    "      AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) $f$;\n"
    "REVOKE ALL ON FUNCTION pgbalancer.get_auth(text) FROM PUBLIC;\n"
    "GRANT EXECUTE ON FUNCTION pgbalancer.get_auth(text) TO pgbalancer;\n";

// It asks replicas from which timeline they get their log.
static const char kStats[] = "GRANT pg_read_all_stats TO pgbalancer;\n";

static Status make_roles(const AgentConfig& config, Connection& server) {
  auto agent = role_sql("pgbalancer_agent", config.agent_password, "REPLICATION");
  if (!agent.ok()) return std::move(agent).error();
  auto balancer = role_sql("pgbalancer", config.balancer_password, "");
  if (!balancer.ok()) return std::move(balancer).error();
  auto done = server.query(*agent + *balancer + "GRANT pg_monitor TO pgbalancer_agent;\n" + kStats + kAuthFunction,
                           Deadline::after(minutes(1)));
  if (!done.ok()) return std::move(done).error().in("making the roles");
  return {};
}

// The last of all: without this role nobody can copy the primary. A copy of one whose init SQL has yet to run would
// pass for complete, and could take its role.
static Status make_replication_role(const AgentConfig& config, Connection& server) {
  auto text = role_sql(config.replication_user, config.replication_password, "REPLICATION");
  if (!text.ok()) return std::move(text).error();
  auto done = server.query(*text, Deadline::after(minutes(1)));
  if (!done.ok()) return std::move(done).error().in("making the role " + config.replication_user);
  return {};
}

static Status make_database(const AgentConfig& config, Connection& server) {
  auto found = server.query("SELECT 1 FROM pg_database WHERE datname = " + quote_literal(config.database),
                            Deadline::after(minutes(1)));
  if (!found.ok()) return std::move(found).error();
  if (!found->at(0).rows.empty()) return {};
  auto made = server.query("CREATE DATABASE " + quote_identifier(config.database), Deadline::after(minutes(1)));
  if (!made.ok()) return std::move(made).error().in("making database " + config.database);
  return {};
}

// One implicit transaction holds the file and the note that it ran.
static Status run_init_file(const std::string& file, const std::string& text, Connection& database) {
  const std::string name = quote_literal(file.substr(file.rfind('/') + 1));
  auto ran = database.query("SELECT 1 FROM pgbalancer.init_files WHERE name = " + name, Deadline::after(minutes(1)));
  if (!ran.ok()) return std::move(ran).error();
  if (!ran->at(0).rows.empty()) return {};
  auto done = database.query(text + "\n;INSERT INTO pgbalancer.init_files (name) VALUES (" + name + ")",
                             Deadline::after(minutes(60)));
  if (done.ok()) return {};
  return std::move(done)
      .error()
      .in("init SQL " + name)
      .with("note", "a file runs as one transaction, without psql's \\ commands; nothing of it was kept");
}

static Status run_init_sql(const AgentConfig& config) {
  if (config.init_sql.empty()) return {};
  auto database = connect(config, config.database);
  if (!database.ok()) return std::move(database).error();
  auto made = (*database)->query(
      "CREATE SCHEMA IF NOT EXISTS pgbalancer;\n"
      "CREATE TABLE IF NOT EXISTS pgbalancer.init_files (name text PRIMARY KEY, at timestamptz DEFAULT now())",
      Deadline::after(minutes(1)));
  if (!made.ok()) return std::move(made).error();
  for (size_t i = 0; i < config.init_texts.size(); ++i) {
    if (!config.init_texts[i]) {
      return Error(Code::kConfigUnreadable, config.config_dir + "/" + config.init_sql[i] + " cannot be read");
    }
    PGB_TRY(run_init_file(config.init_sql[i], *config.init_texts[i], **database));
  }
  return {};
}

Status furnish_primary(const AgentConfig& config, const DataDir& dir) {
  auto server = connect(config, "postgres");
  if (!server.ok()) return std::move(server).error();
  PGB_TRY(make_roles(config, **server));
  PGB_TRY(make_database(config, **server));
  PGB_TRY(run_init_sql(config));
  PGB_TRY(make_replication_role(config, **server));
  return dir.set_stage(DataStage::kReady);
}

}  // namespace pgb::agent

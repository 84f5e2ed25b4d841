#include "sql/functions.h"

#include <algorithm>
#include <array>

namespace pgb::sql {
namespace {

using Names = std::string_view;

bool starts(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

template <size_t N>
bool among(std::string_view name, const std::array<Names, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <size_t N>
bool starts_as_one(std::string_view name, const std::array<Names, N>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view prefix) { return starts(name, prefix); });
}

constexpr std::array<Names, 15> kWriting = {"nextval",
                                            "setval",
                                            "txid_current",
                                            "pg_current_xact_id",
                                            "pg_notify",
                                            "pg_export_snapshot",
                                            "pg_nextoid",
                                            "pg_switch_wal",
                                            "pg_log_standby_snapshot",
                                            "pg_extension_config_dump",
                                            "pg_sync_replication_slots",
                                            "loread",
                                            "lowrite",
                                            "currtid2",
                                            "pg_promote"};

constexpr std::array<Names, 12> kWritingPrefixes = {
    "lo_",       "dblink",     "pg_logical_", "pg_replication_",    "pg_drop_", "pg_copy_",
    "pg_backup", "pg_start_b", "pg_stop_",    "pg_import_system_c", "brin_",    "binary_upgrade_"};

// Connections, temporary slots and replication origins are kept by the session.
constexpr std::array<Names, 6> kSessionPrefixes = {
    "dblink_connect",        "dblink_disconnect", "pg_replication_origin_session",
    "pg_create_logical_rep", "pg_create_phys",    "pg_copy_logical_rep"};

constexpr std::array<Names, 38> kLocal = {"pg_is_in_recovery",
                                          "pg_is_in_backup",
                                          "pg_backend_pid",
                                          "pg_postmaster_start_time",
                                          "pg_conf_load_time",
                                          "pg_blocking_pids",
                                          "pg_safe_snapshot_blocking_pids",
                                          "pg_cancel_backend",
                                          "pg_terminate_backend",
                                          "pg_reload_conf",
                                          "pg_rotate_logfile",
                                          "pg_is_wal_replay_paused",
                                          "pg_my_temp_schema",
                                          "pg_is_other_temp_schema",
                                          "pg_listening_channels",
                                          "pg_notification_queue_usage",
                                          "pg_current_logfile",
                                          "pg_jit_available",
                                          "pg_lock_status",
                                          "pg_cursor",
                                          "pg_prepared_statement",
                                          "pg_prepared_xact",
                                          "pg_config",
                                          "pg_hba_file_rules",
                                          "pg_ident_file_mappings",
                                          "pg_tablespace_location",
                                          "pg_log_backend_memory_contexts",
                                          "pg_get_backend_memory_contexts",
                                          "pg_get_loaded_modules",
                                          "pg_get_aios",
                                          "pg_get_wait_events",
                                          "pg_numa_available",
                                          "pg_sequence_last_value",
                                          "pg_get_sequence_data",
                                          "pg_last_committed_xact",
                                          "pg_current_xact_id_if_assigned",
                                          "pg_current_snapshot",
                                          "txid_current_if_assigned"};

constexpr std::array<Names, 18> kLocalPrefixes = {"pg_stat_",
                                                  "pg_ls_",
                                                  "pg_read_",
                                                  "pg_control_",
                                                  "pg_get_replication_",
                                                  "pg_get_wal_",
                                                  "pg_get_shmem",
                                                  "pg_last_wal_",
                                                  "pg_last_xact",
                                                  "pg_current_wal_",
                                                  "pg_wal_replay_",
                                                  "pg_show_",
                                                  "pg_available_",
                                                  "inet_server_",
                                                  "inet_client_",
                                                  "txid_current_snapsh",
                                                  "pg_walfile_name",
                                                  "pg_database_collation_actual"};

constexpr std::array<Names, 11> kTextPrefixes = {"query_to_xml",    "cursor_to_xml", "table_to_xml",  "schema_to_xml",
                                                 "database_to_xml", "ts_stat",       "ts_rewrite",    "crosstab",
                                                 "connectby",       "xpath_table",   "plpgsql_inline"};

constexpr std::array<Names, 14> kHarmless = {"random",
                                             "random_normal",
                                             "clock_timestamp",
                                             "timeofday",
                                             "statement_timestamp",
                                             "gen_random_uuid",
                                             "uuidv4",
                                             "uuidv7",
                                             "uuid_generate_v4",
                                             "pg_sleep",
                                             "pg_sleep_for",
                                             "pg_sleep_until",
                                             "pg_partition_tree",
                                             "pg_partition_ancestors"};

constexpr std::array<Names, 21> kLocalRelations = {"pg_locks",
                                                   "pg_settings",
                                                   "pg_file_settings",
                                                   "pg_hba_file_rules",
                                                   "pg_ident_file_mappings",
                                                   "pg_cursors",
                                                   "pg_prepared_statements",
                                                   "pg_prepared_xacts",
                                                   "pg_replication_slots",
                                                   "pg_replication_origin_status",
                                                   "pg_backend_memory_contexts",
                                                   "pg_wait_events",
                                                   "pg_aios",
                                                   "pg_available_extensions",
                                                   "pg_available_extension_versions",
                                                   "pg_config",
                                                   "pg_sequences",
                                                   "pg_shmem_allocations",
                                                   "pg_shmem_allocations_numa",
                                                   "pg_dsm_registry_allocations",
                                                   "pg_buffercache"};

constexpr std::array<Names, 22> kSessionSettings = {"application_name",
                                                    "bytea_output",
                                                    "client_encoding",
                                                    "client_min_messages",
                                                    "datestyle",
                                                    "default_text_search_config",
                                                    "extra_float_digits",
                                                    "intervalstyle",
                                                    "is_superuser",
                                                    "lc_messages",
                                                    "lc_monetary",
                                                    "lc_numeric",
                                                    "lc_time",
                                                    "lock_timeout",
                                                    "role",
                                                    "row_security",
                                                    "search_path",
                                                    "session_authorization",
                                                    "standard_conforming_strings",
                                                    "statement_timeout",
                                                    "timezone",
                                                    "xmloption"};

FunctionKind kind_of_advisory(std::string_view name) {
  return name.find("xact") == std::string_view::npos ? FunctionKind::kSessionLock : FunctionKind::kTransactionLock;
}

}  // namespace

FunctionKind kind_of_function(std::string_view name) {
  if (name == "set_config") return FunctionKind::kSetConfig;
  if (name == "current_setting") return FunctionKind::kSetting;
  if (name == "currval" || name == "lastval") return FunctionKind::kSequenceState;
  if (starts(name, "pg_advisory_") || starts(name, "pg_try_advisory_")) return kind_of_advisory(name);
  if (name == "setseed" || starts_as_one(name, kSessionPrefixes)) return FunctionKind::kSessionState;
  if (starts_as_one(name, kTextPrefixes)) return FunctionKind::kRunsText;
  if (among(name, kLocal) || starts_as_one(name, kLocalPrefixes)) return FunctionKind::kNodeLocal;
  if (among(name, kWriting) || starts_as_one(name, kWritingPrefixes) || starts(name, "pg_create_")) {
    return FunctionKind::kWrites;
  }
  return among(name, kHarmless) ? FunctionKind::kHarmless : FunctionKind::kOther;
}

bool is_node_local_relation(std::string_view name) {
  return starts(name, "pg_stat_") || starts(name, "pg_statio_") || among(name, kLocalRelations);
}

bool is_session_setting(std::string_view name) {
  if (name.find('.') != std::string_view::npos) return true;
  std::string_view lower = name;
  std::array<char, 40> folded;
  if (name.size() > folded.size()) return false;
  std::transform(name.begin(), name.end(), folded.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  lower = std::string_view(folded.data(), name.size());
  return among(lower, kSessionSettings);
}

}  // namespace pgb::sql

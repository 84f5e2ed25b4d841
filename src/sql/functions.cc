#include "sql/functions.h"

#include <algorithm>
#include <array>

namespace pgb::sql {
namespace {

bool starts(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

template <size_t N>
bool among(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 12> kWriting = {"nextval",
                                                       "setval",
                                                       "txid_current",
                                                       "pg_current_xact_id",
                                                       "pg_notify",
                                                       "pg_export_snapshot",
                                                       "pg_logical_emit_message",
                                                       "pg_create_restore_point",
                                                       "pg_switch_wal",
                                                       "pg_promote",
                                                       "pg_log_standby_snapshot",
                                                       "pg_extension_config_dump"};

constexpr std::array<std::string_view, 26> kLocal = {
    "pg_is_in_recovery",     "pg_last_wal_receive_lsn",    "pg_last_wal_replay_lsn",   "pg_last_xact_replay_timestamp",
    "pg_current_wal_lsn",    "pg_current_wal_insert_lsn",  "pg_current_wal_flush_lsn", "pg_wal_lsn_diff_now",
    "pg_backend_pid",        "pg_postmaster_start_time",   "pg_conf_load_time",        "inet_server_addr",
    "inet_server_port",      "inet_client_addr",           "inet_client_port",         "pg_blocking_pids",
    "pg_cancel_backend",     "pg_terminate_backend",       "pg_reload_conf",           "pg_rotate_logfile",
    "pg_wal_replay_pause",   "pg_wal_replay_resume",       "pg_is_wal_replay_paused",  "pg_my_temp_schema",
    "pg_listening_channels", "pg_notification_queue_usage"};

constexpr std::array<std::string_view, 9> kRunningText = {"query_to_xml",
                                                          "query_to_xmlschema",
                                                          "query_to_xml_and_xmlschema",
                                                          "cursor_to_xml",
                                                          "table_to_xml",
                                                          "schema_to_xml",
                                                          "database_to_xml",
                                                          "ts_stat",
                                                          "crosstab"};

constexpr std::array<std::string_view, 12> kHarmless = {
    "random",        "clock_timestamp", "timeofday",    "gen_random_uuid", "uuidv4",           "uuidv7",
    "random_normal", "pg_sleep",        "pg_sleep_for", "pg_sleep_until",  "uuid_generate_v4", "statement_timestamp"};

constexpr std::array<std::string_view, 17> kLocalRelations = {"pg_locks",
                                                              "pg_settings",
                                                              "pg_file_settings",
                                                              "pg_hba_file_rules",
                                                              "pg_cursors",
                                                              "pg_prepared_statements",
                                                              "pg_prepared_xacts",
                                                              "pg_replication_slots",
                                                              "pg_replication_origin_status",
                                                              "pg_shmem_allocations",
                                                              "pg_backend_memory_contexts",
                                                              "pg_ident_file_mappings",
                                                              "pg_wait_events",
                                                              "pg_aios",
                                                              "pg_available_extensions",
                                                              "pg_available_extension_versions",
                                                              "pg_config"};

}  // namespace

FunctionKind kind_of_function(std::string_view name) {
  if (name == "set_config") return FunctionKind::kSetConfig;
  if (name == "currval" || name == "lastval") return FunctionKind::kSequenceState;
  if (name.find("advisory") != std::string_view::npos) {
    if (starts(name, "pg_advisory_unlock")) return FunctionKind::kSessionUnlock;
    if (name.find("xact") != std::string_view::npos) return FunctionKind::kTransactionLock;
    return FunctionKind::kSessionLock;
  }
  if (among(name, kWriting) || starts(name, "lo_") || starts(name, "dblink") || starts(name, "pg_logical_") ||
      starts(name, "pg_replication_") || starts(name, "pg_create_") || starts(name, "pg_drop_") ||
      starts(name, "pg_copy_") || starts(name, "pg_backup_") || starts(name, "pg_start_") || starts(name, "pg_stop_")) {
    return FunctionKind::kWrites;
  }
  if (name == "loread" || name == "lowrite") return FunctionKind::kWrites;
  if (among(name, kLocal) || starts(name, "pg_stat_") || starts(name, "pg_ls_") || starts(name, "pg_read_") ||
      starts(name, "pg_control_") || starts(name, "pg_get_replication_") || starts(name, "pg_get_wal_")) {
    return FunctionKind::kNodeLocal;
  }
  if (among(name, kRunningText)) return FunctionKind::kRunsText;
  return among(name, kHarmless) ? FunctionKind::kHarmless : FunctionKind::kOther;
}

bool is_node_local_relation(std::string_view name) {
  return starts(name, "pg_stat_") || starts(name, "pg_statio_") || among(name, kLocalRelations);
}

}  // namespace pgb::sql

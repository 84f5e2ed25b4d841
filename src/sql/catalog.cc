#include "sql/catalog.h"

#include "sql/functions.h"

namespace pgb::sql {

const char* Catalog::query() {
  // routine: every function with whether it is volatile; an aggregate is as volatile as what it is made of. The
  // functions of uuid-ossp and pgcrypto are volatile because they draw random numbers: harmless.
  // ours: what PostgreSQL's own functions do to one server or one session, though not volatile.
  // 'c': volatile functions in C that may keep something in the server's process where no catalogue shows it: all that
  // belong to no extension, and those of extensions that are known to. 'g': relations with such a trigger, and those
  // through which, or by whose foreign keys, they are written.
  // setter: functions of users that set parameters, by what they are made of; 2078 is set_config(). 'd': those that
  // make the name up; 'n': the names with a dot that stand there; 'w': there are triggers or defaults that call one.
  // called: which function is used by which view, policy or domain. Of PostgreSQL's own functions no dependency is
  // recorded, so the stored tree is read. System views are judged by name when a statement is read.
  // unsafe: relations a replica cannot answer for, and views and partitioned tables above them.
  return R"(
WITH RECURSIVE routine AS MATERIALIZED (
  SELECT p.oid, n.nspname, p.proname, p.prokind, p.pronargs, p.pronargdefaults, p.proargtypes,
         (p.provolatile = 'v' OR COALESCE(a.part, false)) AND e.objid IS NULL AS unsafe
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    LEFT JOIN (SELECT g.aggfnoid::pg_catalog.oid AS oid, pg_catalog.bool_or(q.provolatile = 'v') AS part
                 FROM pg_catalog.pg_aggregate g JOIN pg_catalog.pg_proc q
                   ON q.oid IN (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn,
                                g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn)
                GROUP BY 1) a ON a.oid = p.oid
    LEFT JOIN (SELECT d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x
                   ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = x.oid
                WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'
                  AND x.extname IN ('uuid-ossp', 'pgcrypto')) e ON e.objid = p.oid
   WHERE p.prokind <> 'p'),
bad AS MATERIALIZED (
  SELECT oid FROM routine
   WHERE unsafe AND NOT (nspname = 'pg_catalog' AND proname IN ('random', 'random_normal', 'clock_timestamp',
                         'timeofday', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'pg_partition_tree',
                         'pg_partition_ancestors'))
  UNION ALL
  SELECT oid FROM routine
   WHERE NOT unsafe AND nspname = 'pg_catalog'
     AND (proname LIKE ANY (ARRAY['pg\_stat\_%', 'pg\_control\_%', 'pg\_get\_replication\_%', 'pg\_get\_wal\_%',
                                  'pg\_show\_%', 'pg\_available\_%', 'inet\_server\_%', 'inet\_client\_%',
                                  'txid\_current%', 'pg\_current\_xact%', 'pg\_current\_snap%', 'table\_to\_xml%',
                                  'schema\_to\_xml%', 'database\_to\_xml%'])
          OR proname IN ('pg_backend_pid', 'pg_postmaster_start_time', 'pg_conf_load_time', 'pg_my_temp_schema',
                         'pg_is_other_temp_schema', 'pg_listening_channels', 'pg_cursor', 'pg_prepared_statement',
                         'pg_config', 'pg_tablespace_location'))),
called(class, object, tree) AS (
  SELECT 'r', c.oid, r.ev_action::pg_catalog.text FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'v' AND r.ev_type = '1' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  UNION ALL
  SELECT 'r', polrelid, COALESCE(polqual::pg_catalog.text, '') FROM pg_catalog.pg_policy
  UNION ALL
  SELECT 't', contypid, conbin::pg_catalog.text FROM pg_catalog.pg_constraint
   WHERE contypid <> 0 AND conbin IS NOT NULL),
caller AS MATERIALIZED (
  SELECT DISTINCT c.class, c.object FROM called c,
         pg_catalog.regexp_matches(c.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') AS found
   WHERE found[1]::pg_catalog.oid IN (SELECT oid FROM bad)),
above(lower, upper) AS MATERIALIZED (
  SELECT d.refobjid, r.ev_class FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
   WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
     AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid <> r.ev_class
  UNION
  SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits
  UNION
  SELECT d.refobjid, p.polrelid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_policy p ON p.oid = d.objid
   WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
     AND d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass),
unsafe(oid) AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f' OR relpersistence = 'u'
  UNION
    SELECT object FROM caller WHERE class = 'r'
  UNION
    SELECT c.oid FROM pg_catalog.pg_class c
     WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
       AND (c.relname LIKE 'pg\_stat\_%' OR c.relname LIKE 'pg\_statio\_%' OR c.relname IN (
            'pg_locks', 'pg_settings', 'pg_file_settings', 'pg_hba_file_rules', 'pg_ident_file_mappings', 'pg_cursors',
            'pg_prepared_statements', 'pg_prepared_xacts', 'pg_replication_slots', 'pg_replication_origin_status',
            'pg_backend_memory_contexts', 'pg_wait_events', 'pg_aios', 'pg_available_extensions',
            'pg_available_extension_versions', 'pg_config', 'pg_sequences', 'pg_shmem_allocations',
            'pg_shmem_allocations_numa', 'pg_dsm_registry_allocations'))
  UNION
    SELECT a.upper FROM unsafe u JOIN above a ON a.lower = u.oid),
above_type(lower, upper) AS MATERIALIZED (
  SELECT typbasetype, oid FROM pg_catalog.pg_type WHERE typbasetype <> 0),
unsafe_type(oid) AS (
    SELECT object FROM caller WHERE class = 't'
  UNION
    SELECT c.casttarget FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
     WHERE p.provolatile = 'v'
  UNION
    SELECT t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_proc p ON p.oid = t.typinput
     WHERE p.provolatile = 'v' AND t.typtype = 'b'
  UNION
    SELECT a.upper FROM unsafe_type u JOIN above_type a ON a.lower = u.oid),
setter AS MATERIALIZED (
  SELECT p.oid, n.nspname, p.proname, pg_catalog.lower(p.prosrc) AS source
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE l.lanname NOT IN ('c', 'internal') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
     AND (p.prosrc ~* '(set_config|(^|;|\mbegin|\mthen|\melse|\mloop)\s*set\s|\mexecute\M[^;]*\mset\M)'
          OR pg_catalog.to_jsonb(p) ->> 'prosqlbody' LIKE '%:funcid 2078 %')),
keeper AS MATERIALIZED (
  SELECT p.oid, n.nspname, p.proname FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE l.lanname = 'c' AND p.provolatile = 'v' AND n.nspname <> 'pg_catalog'
     AND (p.proname IN ('dblink_connect', 'dblink_connect_u', 'dblink_open', 'set_limit', 'check_primary_key',
                        'check_foreign_key')
          OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                            AND d.objid = p.oid AND d.deptype = 'e'))),
writes_to(lower, upper) AS MATERIALIZED (
  SELECT lower, upper FROM above
  UNION
  SELECT conrelid, confrelid FROM pg_catalog.pg_constraint
   WHERE confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')),
keeping(oid) AS (
    SELECT t.tgrelid FROM pg_catalog.pg_trigger t JOIN keeper k ON k.oid = t.tgfoid WHERE NOT t.tgisinternal
  UNION
    SELECT w.upper FROM keeping k JOIN writes_to w ON w.lower = k.oid)
SELECT CASE WHEN pg_catalog.bool_or(unsafe) THEN 'v' ELSE 'f' END, nspname, proname FROM routine GROUP BY 2, 3
UNION ALL
SELECT DISTINCT 'o', '', o.oprname FROM pg_catalog.pg_operator o JOIN bad ON bad.oid = o.oprcode
UNION ALL
SELECT DISTINCT 'r', n.nspname, c.relname FROM unsafe u JOIN pg_catalog.pg_class c ON c.oid = u.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 'k', n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)'
UNION ALL
SELECT 't', n.nspname, t.typname FROM unsafe_type u JOIN pg_catalog.pg_type t ON t.oid = u.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
UNION ALL
SELECT DISTINCT 'a', '', r.proname FROM routine r JOIN bad ON bad.oid = r.oid
  JOIN pg_catalog.pg_type t ON t.oid = r.proargtypes[0]
 WHERE r.prokind = 'f' AND r.pronargs - r.pronargdefaults <= 1 AND t.typtype IN ('c', 'p')
   AND r.nspname <> 'pg_catalog'
UNION ALL
SELECT DISTINCT 'c', nspname, proname FROM keeper
UNION ALL
SELECT DISTINCT 'g', n.nspname, c.relname FROM keeping k JOIN pg_catalog.pg_class c ON c.oid = k.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 'd', nspname, proname FROM setter
 WHERE source ~ 'set_config\s*\(\s*([^''\s]|''[^'']*''\s*\|)' OR source ~ '\mexecute\M[^;]*\mset\M' OR source = ''
UNION ALL
SELECT DISTINCT 'n', '', found[1] FROM setter, pg_catalog.regexp_matches(source,
  '(?:set_config\s*\(\s*''|\mset\s+(?:session\s+)?)([a-z_][a-z0-9_$]*(?:\.[a-z_][a-z0-9_$]*)+)', 'g') AS found
UNION ALL
SELECT 'w', '', '' WHERE EXISTS (
  SELECT FROM setter s JOIN pg_catalog.pg_proc f ON f.oid = s.oid
                         OR (f.prokind = 'f' AND pg_catalog.strpos(pg_catalog.lower(f.prosrc), s.proname) > 0)
    JOIN pg_catalog.pg_trigger t ON t.tgfoid = f.oid)
  OR EXISTS (
  SELECT FROM pg_catalog.pg_attrdef d,
              pg_catalog.regexp_matches(d.adbin::pg_catalog.text, ':funcid (\d+)', 'g') AS found
   WHERE found[1] = '2078' OR found[1]::pg_catalog.oid IN (SELECT oid FROM setter))
UNION ALL
SELECT 'i', n.nspname, t.typname FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
  JOIN pg_catalog.pg_type t ON t.oid = c.casttarget JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE p.provolatile = 'v' AND c.castcontext = 'i')";
}

std::shared_ptr<const Catalog> Catalog::from_rows(const std::vector<std::vector<std::optional<std::string>>>& rows,
                                                  uint64_t version) {
  auto catalog = std::make_shared<Catalog>();
  catalog->version_ = version;
  for (const auto& row : rows) {
    if (row.size() >= 3 && row[0] && row[1] && row[2] && !row[0]->empty()) catalog->add((*row[0])[0], *row[1], *row[2]);
  }
  return catalog;
}

std::shared_ptr<const Catalog> Catalog::unread(const Catalog* before, const std::set<std::string>& new_code,
                                               uint64_t version) {
  auto catalog = std::make_shared<Catalog>();
  if (before != nullptr) {
    catalog->keepers_ = before->keepers_;
    catalog->keeping_relations_ = before->keeping_relations_;
    catalog->setters_ = before->setters_;
    catalog->parameters_ = before->parameters_;
  }
  catalog->writes_may_set_ = true;
  catalog->version_ = version;
  catalog->read_ = false;
  for (const std::string& name : new_code) {
    const size_t dot = name.rfind('.');
    insert(catalog->keepers_, dot == std::string::npos ? "public" : name.substr(0, dot),
           dot == std::string::npos ? name : name.substr(dot + 1));
  }
  return catalog;
}

void Catalog::insert(Set& to, const std::string& schema, const std::string& name) {
  to.insert(name);
  to.insert(schema + "." + name);
}

void Catalog::add(char kind, const std::string& schema, const std::string& name) {
  switch (kind) {
    case 'v':
      if (schema != "pg_catalog" || kind_of_function(name) != FunctionKind::kHarmless) {
        return insert(unsafe_functions_, schema, name);
      }
      return insert(functions_, schema, name);
    case 'f': return insert(functions_, schema, name);
    case 'o': unsafe_operators_.insert(name); return;
    case 'r': return insert(unsafe_relations_, schema, name);
    case 'k': return insert(relations_, schema, name);
    case 't': return insert(unsafe_types_, schema, name);
    case 'a': row_functions_.insert(name); return;
    case 'c': return insert(keepers_, schema, name);
    case 'g': return insert(keeping_relations_, schema, name);
    case 'd': return insert(setters_, schema, name);
    case 'n': parameters_.push_back(name); return;
    case 'w': writes_may_set_ = true; return;
    case 'i': implicit_cast_ = schema + "." + name; return;
    default: return;
  }
}

bool Catalog::function_is_safe(std::string_view name) const {
  const std::string key(name);
  return unsafe_functions_.count(key) == 0 && functions_.count(key) != 0;
}

bool Catalog::relation_is_safe(std::string_view name) const {
  const std::string key(name);
  return unsafe_relations_.count(key) == 0 && relations_.count(key) != 0;
}

}  // namespace pgb::sql

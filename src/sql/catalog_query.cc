// What a server is asked about its names, once for a database and again after each change of it.
#include "sql/catalog.h"

namespace pgb::sql {

const char* Catalog::query() {
  // code: functions of users that can be read.
  // word: what stands in them of the names of functions (with the bracket that follows) and of relations, if it
  // matters at all: it takes most of the time.
  // stored: the trees of expressions that PostgreSQL keeps, and what they belong to; `read`: they run when it is read.
  // uses: the functions and types in them; of PostgreSQL's own no dependency is recorded, so the tree is read.
  // routine: every function with whether it is volatile; an aggregate is as volatile as what it is made of, a function
  // as its default arguments and the body that is kept as a tree. The functions of uuid-ossp and pgcrypto are volatile
  // because they draw random numbers: harmless.
  // bad: volatile ones, and what PostgreSQL's own functions do to one server or one session, though not volatile.
  // `acts`: it may leave something behind, or write.
  // unsafe: relations a replica cannot answer for, and views and partitioned tables above them; acting: those of them
  // whose reading may leave something behind, or write. System views are judged by name when a statement is read.
  // edge: what runs, or reaches, the function, type or relation on the left is the upper one; 'e': an event trigger.
  // seed, and reach, what comes of it: some questions. 'w': it may leave something behind that the server can tell of.
  // 's': it asks for the last number of a sequence. 'c': it may keep something in the server's process where no
  // catalogue shows it, as do functions in C that are volatile and belong to no extension, or to one that is known to;
  // what a function writes to is not followed there. 'h': functions that call what does any of it, whatever they call
  // themselves.
  // setter: functions of users that set parameters, by what they are made of; 2078 is set_config(). 'd': those that
  // make the name up; 'n': the names with a dot that stand there.
  return R"SQL(
WITH RECURSIVE marks(list, blanks) AS (
  SELECT m.list, pg_catalog.repeat(' ', pg_catalog.length(m.list))
    FROM (SELECT E'\n\r\t)[].,;:=<>+-*/|!''\\%&^~?@#'::pg_catalog.text) m(list)),
code AS MATERIALIZED (
  SELECT p.oid, n.nspname, p.proname, p.provolatile, l.lanname, pg_catalog.lower(p.prosrc) AS source,
         CASE WHEN p.prosrc = '' THEN pg_catalog.to_jsonb(p) ->> 'prosqlbody' END AS tree
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE l.lanname NOT IN ('c', 'internal') AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
named AS MATERIALIZED (
  SELECT a.class, a.oid, pg_catalog.rtrim(pg_catalog.substring(
         pg_catalog.translate(pg_catalog.lower(a.name), m.list || '"', m.blanks), '[^ ]+ *$')) AS word
    FROM marks m, (SELECT 'f', oid, proname::pg_catalog.text FROM pg_catalog.pg_proc
                    WHERE pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
                   UNION ALL
                   SELECT 'r', c.oid, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
                       ON n.oid = c.relnamespace
                    WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname <> 'information_schema'
                      AND n.nspname !~ '^pg_') a(class, oid, name)),
stored(class, object, read, tree) AS MATERIALIZED (
  SELECT 'r', c.oid, c.relkind = 'v' AND r.ev_type = '1',
         r.ev_action::pg_catalog.text || COALESCE(r.ev_qual::pg_catalog.text, '')
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  UNION ALL
  SELECT 'r', polrelid, true, polqual::pg_catalog.text FROM pg_catalog.pg_policy WHERE polqual IS NOT NULL
  UNION ALL
  SELECT 'r', polrelid, false, polwithcheck::pg_catalog.text FROM pg_catalog.pg_policy WHERE polwithcheck IS NOT NULL
  UNION ALL
  SELECT 't', contypid, true, conbin::pg_catalog.text FROM pg_catalog.pg_constraint
   WHERE contypid <> 0 AND conbin IS NOT NULL
  UNION ALL
  SELECT 't', oid, false, typdefaultbin::pg_catalog.text FROM pg_catalog.pg_type WHERE typdefaultbin IS NOT NULL
  UNION ALL
  SELECT 'r', conrelid, false, conbin::pg_catalog.text FROM pg_catalog.pg_constraint
   WHERE conrelid <> 0 AND conbin IS NOT NULL
  UNION ALL
  SELECT 'r', adrelid, false, adbin::pg_catalog.text FROM pg_catalog.pg_attrdef
  UNION ALL
  SELECT 'r', tgrelid, false, tgqual::pg_catalog.text FROM pg_catalog.pg_trigger WHERE tgqual IS NOT NULL
  UNION ALL
  SELECT 'r', indrelid, false, COALESCE(indexprs::pg_catalog.text, '') || COALESCE(indpred::pg_catalog.text, '')
    FROM pg_catalog.pg_index WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
  UNION ALL
  SELECT 'r', partrelid, false, partexprs::pg_catalog.text FROM pg_catalog.pg_partitioned_table
   WHERE partexprs IS NOT NULL
  UNION ALL
  SELECT 'f', oid, false, proargdefaults::pg_catalog.text FROM pg_catalog.pg_proc
   WHERE proargdefaults IS NOT NULL AND pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
  UNION ALL
  SELECT 'f', oid, false, tree FROM code WHERE tree IS NOT NULL),
uses AS MATERIALIZED (
  SELECT DISTINCT s.class, s.object, s.read, found[1] = 'resulttype' AS is_type, found[2]::pg_catalog.oid AS used
    FROM stored s,
         pg_catalog.regexp_matches(s.tree, ':(funcid|opfuncid|aggfnoid|winfnoid|resulttype) (\d+)', 'g') AS found
   WHERE found[1] <> 'resulttype' OR found[2]::pg_catalog.oid >= 16384),
seed(question, oid) AS MATERIALIZED (
  SELECT q.question, p.oid FROM pg_catalog.pg_proc p, (VALUES
    ('w', 'set_config'), ('w', 'pg_(try_)?advisory_(un)?lock.*'), ('w', '(query|cursor)_to_xml.*'),
    ('s', 'currval|lastval'),
    ('c', 'setseed|pg_replication_origin_session.*|pg_create_(logical|physical)_rep.*|pg_copy_logical_rep.*'))
    asked(question, name),
    LATERAL (VALUES (asked.question), ('h')) q(question)
   WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.proname ~ ('^(' || asked.name || ')$')
  UNION ALL
  SELECT q.question, c.oid FROM code c, (VALUES
    ('w', 'set_config|pg_(try_)?advisory_(un)?lock\w*|(query|cursor)_to_xml\w*'),
    ('s', 'currval|lastval'),
    ('c', 'setseed|dblink_(connect|open)\w*|pg_replication_origin_session\w*'),
    ('c', 'pg_create_(logical|physical)_rep\w*|pg_copy_logical_rep\w*')) asked(question, name),
    LATERAL (VALUES (asked.question), ('h')) q(question)
   WHERE c.source ~ ('\m(' || asked.name || ')\M')
  UNION ALL
  SELECT 'w', oid FROM code
   WHERE source ~ '\m(temp|temporary|pg_temp\w*|listen|unlisten|execute|with\s+hold)\M'
      OR source ~ '(^|;|>>|\mbegin|\mthen|\melse|\mloop)\s*(set|reset|load|discard|prepare|deallocate)\s'
  UNION ALL
  SELECT 'w', oid FROM code WHERE lanname NOT IN ('sql', 'plpgsql')
  UNION ALL
  SELECT 'c', p.oid FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE l.lanname = 'c' AND p.provolatile = 'v' AND n.nspname <> 'pg_catalog'
     AND (p.proname IN ('dblink_connect', 'dblink_connect_u', 'dblink_open', 'set_limit', 'check_primary_key',
                        'check_foreign_key')
          OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                            AND d.objid = p.oid AND d.deptype = 'e'))),
word AS MATERIALIZED (
  SELECT DISTINCT c.oid, c.provolatile, w.word
    FROM code c, marks m, pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.replace(pg_catalog.regexp_replace(
         pg_catalog.translate(c.source, m.list || '"', m.blanks), '\s+\(', '(', 'g'), '(', '( '), ' ')) AS w(word)
   WHERE (EXISTS (SELECT FROM seed WHERE oid >= 16384)
          OR EXISTS (SELECT FROM uses u JOIN seed s ON s.oid = u.used WHERE NOT u.is_type))
     AND pg_catalog.rtrim(w.word, '(') IN (SELECT word FROM named)),
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
above_type(lower, upper) AS MATERIALIZED (
  SELECT typbasetype, oid FROM pg_catalog.pg_type WHERE typbasetype <> 0
  UNION
  SELECT typelem, oid FROM pg_catalog.pg_type WHERE typelem >= 16384
  UNION
  SELECT rngsubtype, rngtypid FROM pg_catalog.pg_range WHERE rngsubtype >= 16384
  UNION
  SELECT a.atttypid, t.oid FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.typrelid = a.attrelid AND t.typtype = 'c'
   WHERE a.atttypid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped),
writes_to(lower, upper) AS MATERIALIZED (
  SELECT lower, upper FROM above
  UNION
  SELECT conrelid, confrelid FROM pg_catalog.pg_constraint
   WHERE confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')
  UNION
  SELECT d.refobjid, r.ev_class FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type <> '1'
   WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
     AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid <> r.ev_class),
edge(class, oid, upper_class, upper) AS MATERIALIZED (
  SELECT 'f', n.oid, 'f', w.oid FROM word w JOIN named n ON n.class = 'f' AND w.word = n.word || '('
   WHERE n.oid <> w.oid
  UNION ALL
  SELECT 'r', n.oid, 'f', w.oid FROM word w JOIN named n ON n.class = 'r' AND pg_catalog.rtrim(w.word, '(') = n.word
   WHERE w.provolatile = 'v'
  UNION ALL
  SELECT CASE WHEN is_type THEN 't' ELSE 'f' END, used, class, object FROM uses
  UNION ALL
  SELECT 'f', tgfoid, 'r', tgrelid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
  UNION ALL
  SELECT 'f', evtfoid, 'e', oid FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'
  UNION ALL
  SELECT 'f', castfunc::pg_catalog.oid, 't', casttarget FROM pg_catalog.pg_cast WHERE castfunc::pg_catalog.oid >= 16384
  UNION ALL
  SELECT 't', lower, 't', upper FROM above_type
  UNION ALL
  SELECT 't', a.atttypid, 'r', a.attrelid FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
   WHERE a.atttypid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT 'r', lower, 'r', upper FROM writes_to),
reach(question, class, oid) AS (
  SELECT question, 'f', oid FROM seed
  UNION
  SELECT r.question, e.upper_class, e.upper FROM reach r JOIN edge e ON e.class = r.class AND e.oid = r.oid
   WHERE CASE r.question WHEN 'h' THEN e.upper_class = 'f'
                         WHEN 'c' THEN e.class <> 'r' OR e.upper_class <> 'f' ELSE true END),
own AS MATERIALIZED (
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
local AS MATERIALIZED (
  SELECT oid FROM own
   WHERE NOT unsafe AND nspname = 'pg_catalog'
     AND (proname LIKE ANY (ARRAY['pg\_stat\_%', 'pg\_control\_%', 'pg\_get\_replication\_%', 'pg\_get\_wal\_%',
                                  'pg\_show\_%', 'pg\_available\_%', 'inet\_server\_%', 'inet\_client\_%',
                                  'txid\_current%', 'pg\_current\_xact%', 'pg\_current\_snap%', 'table\_to\_xml%',
                                  'schema\_to\_xml%', 'database\_to\_xml%', 'pg\_walfile\_name%'])
          OR proname IN ('pg_backend_pid', 'pg_postmaster_start_time', 'pg_conf_load_time', 'pg_my_temp_schema',
                         'pg_is_other_temp_schema', 'pg_listening_channels', 'pg_cursor', 'pg_prepared_statement',
                         'pg_config', 'pg_tablespace_location'))),
harmless AS MATERIALIZED (
  SELECT oid FROM own WHERE nspname = 'pg_catalog' AND proname IN ('random', 'random_normal', 'clock_timestamp',
         'timeofday', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'pg_partition_tree', 'pg_partition_ancestors')),
spoilt(oid) AS (
  (SELECT oid FROM own WHERE unsafe AND oid NOT IN (SELECT oid FROM harmless)
   UNION ALL
   SELECT oid FROM local
   UNION ALL
   SELECT oid FROM reach WHERE question = 'h' AND class = 'f')
  UNION
  SELECT u.object FROM spoilt s JOIN uses u ON u.class = 'f' AND NOT u.is_type AND u.used = s.oid),
routine AS MATERIALIZED (
  SELECT o.oid, o.nspname, o.proname, o.prokind, o.pronargs, o.pronargdefaults, o.proargtypes,
         o.unsafe OR (o.nspname <> 'pg_catalog' AND s.oid IS NOT NULL) AS unsafe
    FROM own o LEFT JOIN spoilt s ON s.oid = o.oid),
bad AS MATERIALIZED (
  SELECT oid, nspname <> 'pg_catalog' OR proname ~ ('^(set_config|setseed|lo_|lowrite|currval|lastval|ts_stat|'
           || 'ts_rewrite|pg_(try_)?advisory_|pg_replication_origin|pg_create_|pg_copy_|(query|cursor)_to_xml)') AS acts
    FROM routine WHERE unsafe AND oid NOT IN (SELECT oid FROM harmless)
  UNION ALL
  SELECT oid, false FROM local),
caller AS MATERIALIZED (
  SELECT u.class, u.object, pg_catalog.bool_or(b.acts) AS acts FROM uses u JOIN bad b ON b.oid = u.used
   WHERE u.read AND NOT u.is_type GROUP BY 1, 2),
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
casting(oid) AS MATERIALIZED (
  SELECT object FROM uses WHERE read AND class = 'r' AND is_type AND used IN (SELECT oid FROM unsafe_type)),
unsafe(oid) AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f' OR relpersistence = 'u'
  UNION
    SELECT object FROM caller WHERE class = 'r'
  UNION
    SELECT oid FROM casting
  UNION
    SELECT object FROM stored WHERE class = 'r' AND read AND tree LIKE '%:hasForUpdate true%'
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
acting(oid) AS (
    SELECT object FROM caller WHERE class = 'r' AND acts
  UNION
    SELECT oid FROM casting
  UNION
    SELECT a.upper FROM acting u JOIN above a ON a.lower = u.oid),
setter AS MATERIALIZED (
  SELECT oid, nspname, proname, source FROM code
   WHERE source ~ '(set_config|(^|;|\mbegin|\mthen|\melse|\mloop)\s*set\s|\mexecute\M[^;]*\mset\M)'
      OR tree LIKE '%:funcid 2078 %'),
place(oid, nspname, relname) AS (
  SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace)
SELECT CASE WHEN pg_catalog.bool_or(unsafe) THEN 'v' ELSE 'f' END, nspname, proname FROM routine GROUP BY 2, 3
UNION ALL
SELECT DISTINCT 'o', '', o.oprname FROM pg_catalog.pg_operator o JOIN bad ON bad.oid = o.oprcode
UNION ALL
SELECT DISTINCT 'r', p.nspname, p.relname FROM unsafe u JOIN place p ON p.oid = u.oid
UNION ALL
SELECT DISTINCT 'q', p.nspname, p.relname FROM acting a JOIN place p ON p.oid = a.oid
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
SELECT DISTINCT r.question, n.nspname, p.proname FROM reach r JOIN pg_catalog.pg_proc p ON p.oid = r.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE r.class = 'f' AND r.question IN ('c', 's') AND n.nspname <> 'pg_catalog'
UNION ALL
SELECT DISTINCT CASE r.question WHEN 'c' THEN 'g' ELSE r.question END, p.nspname, p.relname
  FROM reach r JOIN place p ON p.oid = r.oid WHERE r.class = 'r' AND r.question IN ('c', 's', 'w')
UNION ALL
SELECT DISTINCT 'e', '', '' FROM reach WHERE class = 'e' AND question = 'w'
UNION ALL
SELECT 'd', nspname, proname FROM setter
 WHERE source ~ 'set_config\s*\(\s*([^''\s]|''[^'']*''\s*\|)' OR source ~ '\mexecute\M[^;]*\mset\M' OR source = ''
UNION ALL
SELECT DISTINCT 'n', '', found[1] FROM setter, pg_catalog.regexp_matches(source,
  '(?:set_config\s*\(\s*''|\mset\s+(?:session\s+)?)([a-z_][a-z0-9_$]*(?:\.[a-z_][a-z0-9_$]*)+)', 'g') AS found
UNION ALL
SELECT 'i', n.nspname, t.typname FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
  JOIN pg_catalog.pg_type t ON t.oid = c.casttarget JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE p.provolatile = 'v' AND c.castcontext = 'i')SQL";
}

}  // namespace pgb::sql

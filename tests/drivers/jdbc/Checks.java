import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

/** JDBC: see ../checks.py. */
final class Checks {
  interface Check {
    void run() throws Exception;
  }

  private static final int LARGE = 64 << 20;
  private static final String INSERT = "INSERT INTO prepared VALUES (?, ?) RETURNING n * 2, pg_backend_pid()";
  private final List<Connection> open = new ArrayList<>();
  private final BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

  private static String env(String name) {
    return Objects.requireNonNull(System.getenv(name), name);
  }

  private static int number(String name) {
    return Integer.parseInt(env(name));
  }

  private Connection connect(String host, String options) throws SQLException {
    String url = "jdbc:postgresql://" + host + ":" + env("PGPORT") + "/" + env("PGDATABASE") + "?" + options + always();
    Connection made = DriverManager.getConnection(url, env("PGUSER"), env("PGPASSWORD"));
    open.add(made);
    return made;
  }

  /** Statements are kept at the server from their first use on. */
  private Connection connect() throws SQLException {
    return connect(env("PGHOST"), "sslmode=disable&prepareThreshold=1");
  }

  /** A driver that knows what server to expect has its parameters in the startup packet, and needs no SET afterwards. */
  private static String always() {
    return env("CHECK_MODE").equals("statement") ? "&assumeMinServerVersion=9.4" : "";
  }

  private static void same(Object found, Object wanted, String what) {
    if (!Objects.deepEquals(found, wanted)) throw new AssertionError(what + ": " + found + " instead of " + wanted);
  }

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  private static SQLException refused(String state, Check what) throws Exception {
    try {
      what.run();
    } catch (SQLException error) {
      same(error.getSQLState(), state, String.valueOf(error.getMessage()));
      return error;
    }
    throw new AssertionError("no error " + state);
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String value(Connection connection, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      try (ResultSet row = statement.executeQuery()) {
        check(row.next(), "no row");
        return row.getString(1);
      }
    }
  }

  private static boolean atReplica(Connection connection) throws SQLException {
    return !value(connection, "SELECT here()").equals(env("CHECK_PRIMARY_PORT"));
  }

  private static byte[] bytes(int count) {
    byte[] made = new byte[count];
    new Random(7).nextBytes(made);
    return made;
  }

  void prepared() throws Exception {
    List<Connection> clients = new ArrayList<>();
    List<PreparedStatement> inserts = new ArrayList<>();
    Set<Integer> pids = new HashSet<>();
    for (int i = 0; i < number("CHECK_CLIENTS"); i++) clients.add(connect());
    run(clients.get(0), "CREATE TABLE prepared (client int, n int)");
    for (Connection client : clients) inserts.add(client.prepareStatement(INSERT));
    for (int n = 0; n < 5; n++) {
      for (int i = 0; i < clients.size(); i++) {
        PreparedStatement insert = inserts.get(i);
        insert.setInt(1, i);
        insert.setInt(2, n);
        try (ResultSet row = insert.executeQuery()) {
          check(row.next(), "no row");
          same(row.getInt(1), n * 2, "inserted");
          pids.add(row.getInt(2));
        }
        same(value(clients.get(i), "SELECT max(n) FROM prepared WHERE client = ?", i), String.valueOf(n), "max");
      }
    }
    check(pids.size() <= number("CHECK_SERVERS"), pids.size() + " servers");
    same(value(clients.get(0), "SELECT count(*) FROM prepared"), String.valueOf(5 * clients.size()), "count");
    if (env("CHECK_MODE").equals("statement")) return;
    clients.get(0).setAutoCommit(false);
    inserts.get(0).executeQuery().close();
    String kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO prepared%'";
    check(!value(clients.get(0), kept).equals("0"), "not kept at the server");
    clients.get(0).commit();
  }

  void schema_change() throws Exception {
    Connection one = connect();
    Connection two = connect();
    run(two, "CREATE TABLE shaped (a int); INSERT INTO shaped VALUES (1)");
    PreparedStatement ask = one.prepareStatement("SELECT * FROM shaped");
    for (int i = 0; i < 3; i++) same(ask.executeQuery().getMetaData().getColumnCount(), 1, "before");
    run(two, "ALTER TABLE shaped ADD COLUMN b text DEFAULT 'new'");
    ResultSet row = ask.executeQuery(); // the driver prepares again by itself when it is told
    check(row.next(), "no row");
    same(row.getString(2), "new", "after the change");
  }

  void deallocate() throws Exception {
    Connection one = connect();
    Connection two = connect();
    run(one, "PREPARE mine AS SELECT 1");
    same(value(one, "EXECUTE mine"), "1", "EXECUTE");
    run(one, "DEALLOCATE mine");
    refused("26000", () -> run(one, "EXECUTE mine"));
    for (String how : List.of("DEALLOCATE ALL", "DISCARD ALL")) {
      for (Connection client : List.of(one, two)) same(value(client, "SELECT 1 + ?", 6), "7", "before");
      run(one, how);
      for (Connection client : List.of(one, two, one)) same(value(client, "SELECT 1 + ?", 6), "7", how);
    }
    // More than its cache holds: the driver closes the rest.
    Connection small = connect(env("PGHOST"), "sslmode=disable&prepareThreshold=1&preparedStatementCacheQueries=2");
    for (int n = 0; n < 30; n++) same(value(small, "SELECT " + n % 5 + " + ?", n), String.valueOf(n % 5 + n), "evicted");
  }

  void pipeline() throws Exception {
    Connection one = connect();
    run(one, "CREATE TABLE piped (n int PRIMARY KEY)");
    PreparedStatement insert = one.prepareStatement("INSERT INTO piped VALUES (?)", Statement.RETURN_GENERATED_KEYS);
    for (int n = 0; n < 300; n++) add(insert, n);
    same(Arrays.stream(insert.executeBatch()).sum(), 300, "rows of the batch");
    ResultSet keys = insert.getGeneratedKeys();
    for (int n = 0; n < 300; n++) check(keys.next() && keys.getInt(1) == n, "key " + n);
    PreparedStatement failing = one.prepareStatement("INSERT INTO piped VALUES (?)");
    for (int n : new int[] {1000, 1001, 5, 1002}) add(failing, n);
    try {
      failing.executeBatch();
      throw new AssertionError("no error in the batch");
    } catch (BatchUpdateException error) {
      same(error.getSQLState(), "23505", error.getMessage());
    }
    same(value(one, "SELECT count(*) FROM piped"), "300", "count");
  }

  private static void add(PreparedStatement statement, int n) throws SQLException {
    statement.setInt(1, n);
    statement.addBatch();
  }

  private CopyManager copier(Connection connection) throws SQLException {
    return connection.unwrap(PGConnection.class).getCopyAPI();
  }

  private void copyAs(String table, String format) throws Exception {
    Connection one = connect();
    run(one, "CREATE TABLE " + table + " (n int, text text)");
    ByteArrayOutputStream data = new ByteArrayOutputStream();
    ByteArrayOutputStream back = new ByteArrayOutputStream();
    copier(one).copyOut("COPY (SELECT n, CASE WHEN n % 7 > 0 THEN E'\u00e9\\t' || n END FROM generate_series(1, 10000) n) "
        + "TO STDOUT (FORMAT " + format + ")", data);
    long rows = copier(one).copyIn("COPY " + table + " FROM STDIN (FORMAT " + format + ")",
        new ByteArrayInputStream(data.toByteArray()));
    same(rows, 10000L, "rows");
    copier(one).copyOut("COPY " + table + " TO STDOUT (FORMAT " + format + ")", back);
    check(Arrays.equals(data.toByteArray(), back.toByteArray()), "came back changed");
  }

  void copy_text() throws Exception {
    copyAs("copied_text", "text");
    Connection one = connect();
    refused("22P02", () -> copier(one).copyIn("COPY copied_text FROM STDIN", new StringReader("1\tgood\nno number\tbad\n")));
    same(value(one, "SELECT count(*) FROM copied_text"), "10000", "count");
  }

  void copy_binary() throws Exception {
    copyAs("copied_binary", "binary");
  }

  void cancel() throws Exception {
    Connection one = connect();
    Connection two = connect();
    Statement statement = one.createStatement();
    Thread other = new Thread(() -> {
      try {
        while (value(two, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid(), pg_sleep(60)' AND state = 'active'")
            .equals("0")) {
          Thread.onSpinWait();
        }
        statement.cancel();
      } catch (SQLException error) {
        throw new IllegalStateException(error);
      }
    });
    other.start();
    refused("57014", () -> statement.execute("SELECT pg_backend_pid(), pg_sleep(60)"));
    other.join();
    statement.setQueryTimeout(1);
    refused("57014", () -> statement.execute("SELECT pg_backend_pid(), pg_sleep(60)"));
    same(value(one, "SELECT 1"), "1", "afterwards");
  }

  void notify_() throws Exception {
    Connection one = connect();
    Connection two = connect();
    run(one, "LISTEN news");
    for (int n = 0; n < 3; n++) {
      value(two, "SELECT pg_notify('news', ?)", "number " + n);
      PGNotification[] heard = one.unwrap(PGConnection.class).getNotifications(10000);
      check(heard != null && heard.length == 1, "no notification");
      same(heard[0].getName() + ": " + heard[0].getParameter(), "news: number " + n, "notification");
    }
    run(one, "UNLISTEN *");
    same(value(one, "SELECT count(*) FROM pg_listening_channels()"), "0", "channels");
  }

  void errors() throws Exception {
    Connection one = connect();
    run(one, "CREATE TABLE unique_ones (n int PRIMARY KEY); INSERT INTO unique_ones VALUES (1)");
    for (int n = 0; n < 3; n++) {
      refused("42601", () -> run(one, "SELEC 1"));
      refused("22012", () -> value(one, "SELECT 1 / ?", 0));
      var error = (org.postgresql.util.PSQLException) refused("23505", () -> run(one, "INSERT INTO unique_ones VALUES (1)"));
      same(error.getServerErrorMessage().getConstraint(), "unique_ones_pkey", "constraint");
      same(error.getServerErrorMessage().getDetail(), "Key (n)=(1) already exists.", "detail");
      same(value(one, "SELECT ? + 1", n), String.valueOf(n + 1), "afterwards");
    }
  }

  void error_in_transaction() throws Exception {
    Connection one = connect();
    run(one, "CREATE TABLE undone (n int)");
    one.setAutoCommit(false);
    run(one, "INSERT INTO undone VALUES (1)");
    refused("22012", () -> run(one, "SELECT 1 / 0"));
    refused("25P02", () -> run(one, "SELECT 1"));
    one.rollback();
    same(value(one, "SELECT count(*) FROM undone"), "0", "count");
  }

  void large_values() throws Exception {
    Connection one = connect();
    byte[] data = bytes(LARGE);
    try (PreparedStatement ask = one.prepareStatement("SELECT ?::bytea")) {
      ask.setBytes(1, data);
      try (ResultSet row = ask.executeQuery()) {
        check(row.next() && Arrays.equals(row.getBytes(1), data), "bytea came back changed");
      }
    }
    String text = "\u00e9".repeat(LARGE / 2);
    check(value(one, "SELECT ?::text", text).equals(text), "text came back changed");
    same(value(one, "SELECT 1"), "1", "afterwards");
  }

  void large_objects() throws Exception {
    Connection one = connect();
    byte[] data = bytes(1 << 20);
    one.setAutoCommit(false);
    LargeObjectManager objects = one.unwrap(PGConnection.class).getLargeObjectAPI();
    long oid = objects.createLO();
    try (LargeObject object = objects.open(oid, LargeObjectManager.WRITE)) {
      object.write(data);
    }
    one.commit();
    try (LargeObject object = objects.open(oid, LargeObjectManager.READ)) {
      object.seek(data.length / 2);
      check(Arrays.equals(object.read(data.length), Arrays.copyOfRange(data, data.length / 2, data.length)), "came back changed");
    }
    objects.delete(oid);
    one.commit();
    refused("42704", () -> value(one, "SELECT lo_get(?)", oid));
  }

  void tls() throws Exception {
    String secure = "sslmode=verify-full&sslrootcert=";
    Connection one = connect("localhost", secure + env("CHECK_CA"));
    same(value(one, "SELECT 1"), "1", "over TLS");
    refused("08006", () -> connect("localhost", secure + env("CHECK_OTHER_CA")));
    refused("08006", () -> connect("127.0.0.1", secure + env("CHECK_CA")));
  }

  void set() throws Exception {
    List<Connection> clients = new ArrayList<>();
    for (int i = 0; i < number("CHECK_CLIENTS"); i++) {
      clients.add(connect(env("PGHOST"), "sslmode=disable&prepareThreshold=1&ApplicationName=client" + i));
      run(clients.get(i), "SET work_mem = '" + (i + 1) + "MB'");
      value(clients.get(i), "SELECT set_config('my.number', ?, false)", String.valueOf(i));
    }
    for (int time = 0; time < 3; time++) {
      for (int i = 0; i < clients.size(); i++) {
        Connection client = clients.get(i);
        client.setAutoCommit(false);
        run(client, "SET LOCAL work_mem = '77MB'");
        same(value(client, "SHOW work_mem"), "77MB", "SET LOCAL");
        client.commit();
        client.setAutoCommit(true);
        same(value(client, "SELECT current_setting('work_mem') || current_setting('my.number') || "
            + "current_setting('application_name')"), (i + 1) + "MB" + i + "client" + i, "parameters");
      }
    }
    Connection one = clients.get(0);
    run(one, "RESET work_mem");
    same(value(one, "SHOW work_mem"), "4MB", "RESET");
    run(one, "SET TimeZone = 'Asia/Tokyo'");
    same(one.unwrap(PGConnection.class).getParameterStatus("TimeZone"), "Asia/Tokyo", "reported");
    one.setSchema("pg_catalog");
    same(one.getSchema(), "pg_catalog", "schema");
    same(clients.get(1).getSchema(), "public", "schema of the other");
  }

  void read_after_write() throws Exception {
    Connection one = connect();
    Connection fresh = connect();
    run(one, "CREATE TABLE written (n int); INSERT INTO written VALUES (0)");
    for (int n = 1; n < 100; n++) {
      run(one, "UPDATE written SET n = " + n);
      same(value(one, "SELECT n FROM written"), String.valueOf(n), "read");
    }
    long end = System.nanoTime() + 10_000_000_000L;
    while (!atReplica(fresh)) check(System.nanoTime() < end, "no replica answers");
  }

  void read_only() throws Exception {
    Connection one = connect();
    one.setAutoCommit(false);
    one.setReadOnly(true);
    check(atReplica(one), "not at a replica");
    refused("25006", () -> run(one, "CREATE TABLE never (n int)"));
    one.rollback();
    one.setReadOnly(false);
    run(one, "CREATE TABLE now (n int)");
    check(!atReplica(one), "at a replica");
    one.commit();
    same(value(one, "SELECT count(*) FROM now"), "0", "count");
  }

  void savepoints() throws Exception {
    Connection one = connect();
    run(one, "CREATE TABLE saved (n int PRIMARY KEY)");
    one.setAutoCommit(false);
    run(one, "INSERT INTO saved VALUES (1)");
    Savepoint here = one.setSavepoint();
    run(one, "INSERT INTO saved VALUES (2)");
    refused("23505", () -> run(one, "INSERT INTO saved VALUES (1)"));
    one.rollback(here);
    run(one, "INSERT INTO saved VALUES (3)");
    one.commit();
    same(value(one, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM saved"), "1 3", "left");
  }

  void cursors() throws Exception {
    Connection one = connect();
    one.setAutoCommit(false);
    StringBuilder columns = new StringBuilder("n");
    for (int k = 1; k < 200; k++) columns.append(", n + ").append(k).append(" AS c").append(k);
    try (PreparedStatement ask = one.prepareStatement("SELECT " + columns + " FROM generate_series(1, ?) n")) {
      ask.setFetchSize(100);
      ask.setInt(1, 2000);
      int count = 0;
      try (ResultSet rows = ask.executeQuery()) {
        while (rows.next()) {
          count++;
          for (int k = 0; k < 200; k++) same(rows.getInt(k + 1), count + k, "row " + count);
        }
      }
      same(count, 2000, "rows");
      try (ResultSet rows = ask.executeQuery()) {
        check(rows.next(), "no row"); // and is closed before its end
      }
    }
    same(value(one, "SELECT 1"), "1", "afterwards");
    one.commit();
  }

  void types() throws Exception {
    Connection one = connect();
    Map<String, Object> things = new LinkedHashMap<>();
    things.put("int2", -32768);
    things.put("int4", Integer.MAX_VALUE);
    things.put("int8", Long.MIN_VALUE);
    things.put("numeric", new BigDecimal("12345678901234567890.0123456789"));
    things.put("float8", 0.1);
    things.put("bool", true);
    things.put("text", "gr\u00fcn \u2713 \\ ' \" \n");
    things.put("bytea", bytes(256));
    things.put("date", LocalDate.of(1999, 12, 31));
    things.put("time", LocalTime.of(1, 2, 3));
    things.put("timestamp", LocalDateTime.of(2024, 2, 29, 23, 59, 59, 999999000));
    things.put("timestamptz", OffsetDateTime.parse("2024-02-29T01:02:03Z"));
    things.put("uuid", new UUID(0, 77));
    for (var thing : things.entrySet()) {
      try (PreparedStatement ask = one.prepareStatement("SELECT ?::" + thing.getKey() + ", ?::" + thing.getKey())) {
        for (int time = 0; time < 3; time++) { // first as text, then in binary
          ask.setObject(1, thing.getValue());
          ask.setObject(2, null);
          try (ResultSet row = ask.executeQuery()) {
            check(row.next(), "no row");
            Object found = thing.getValue() instanceof byte[] ? row.getBytes(1) : row.getObject(1, thing.getValue().getClass());
            same(found, thing.getValue(), thing.getKey());
            check(row.getObject(2) == null, "not null");
          }
        }
      }
    }
    try (PreparedStatement ask = one.prepareStatement("SELECT ?, '{\"a\": 1}'::jsonb, '[1,9)'::int4range, '10.1.2.3'::inet")) {
      ask.setArray(1, one.createArrayOf("int4", new Integer[] {1, null, 3}));
      ResultSet row = ask.executeQuery();
      check(row.next(), "no row");
      same(row.getArray(1).getArray(), new Integer[] {1, null, 3}, "int4[]");
      same(row.getString(2) + row.getString(3) + row.getString(4), "{\"a\": 1}[1,9)10.1.2.3", "others");
    }
  }

  void autocommit() throws Exception {
    Connection one = connect();
    Connection two = connect();
    Connection leaver = connect();
    String sum = "SELECT coalesce(sum(n), 0) FROM committed";
    run(one, "CREATE TABLE committed (n int)");
    one.setAutoCommit(false);
    run(one, "INSERT INTO committed VALUES (1)");
    same(value(two, sum), "0", "before commit");
    one.commit();
    same(value(two, sum), "1", "after commit");
    run(one, "INSERT INTO committed VALUES (2)");
    one.rollback();
    one.setAutoCommit(true);
    run(one, "INSERT INTO committed VALUES (3)");
    same(value(two, sum), "4", "after rollback");
    leaver.setAutoCommit(false);
    run(leaver, "INSERT INTO committed VALUES (100)");
    leaver.close();
    two.setAutoCommit(false);
    run(two, "LOCK TABLE committed IN SHARE MODE"); // waits for who left
    same(value(two, sum), "4", "after who left");
    two.commit();
  }

  void temporary_table() throws Exception {
    Connection one = connect();
    Connection two = connect();
    run(one, "CREATE TEMP TABLE mine (n int)");
    for (int n = 0; n < 5; n++) {
      run(one, "INSERT INTO mine VALUES (1)");
      refused("42P01", () -> run(two, "SELECT * FROM mine"));
    }
    same(value(one, "SELECT count(*) FROM mine"), "5", "count");
    run(one, "DROP TABLE mine");
  }

  void server_lost() throws Exception {
    Connection idle = connect();
    Connection told = connect();
    run(idle, "SET work_mem = '9MB'");
    run(idle, "CREATE TABLE lost (n int)");
    String insert = "INSERT INTO lost VALUES (?) RETURNING n";
    same(value(idle, insert, 1), "1", "inserted");
    told.setAutoCommit(false);
    run(told, "INSERT INTO lost VALUES (2)");
    System.out.println("ask: lose the primary");
    same(input.readLine(), "done", "answer");
    try {
      run(told, "INSERT INTO lost VALUES (3)");
      throw new AssertionError("the transaction went on");
    } catch (SQLException error) {
      same(error.getSQLState(), "40001", "state");
    }
    told.rollback();
    same(value(told, "SELECT sum(n) FROM lost"), "1", "after the loss");
    told.commit();
    same(value(idle, "SHOW work_mem"), "9MB", "who was idle");
    same(value(idle, insert, 4), "4", "who was idle");
    same(value(idle, "SELECT sum(n) FROM lost"), "5", "who was idle");
  }

  private void clear() {
    for (Connection connection : open) {
      try {
        connection.close();
      } catch (SQLException gone) {
        // it was lost
      }
    }
    open.clear();
  }

  private void runNamed(String name) throws Throwable {
    try {
      getClass().getDeclaredMethod(name.equals("notify") ? "notify_" : name).invoke(this);
    } catch (java.lang.reflect.InvocationTargetException error) {
      throw error.getCause();
    }
  }

  public static void main(String[] names) throws IOException {
    Checks checks = new Checks();
    for (String name : names) {
      try {
        checks.runNamed(name);
        System.out.println(name + ": ok");
      } catch (Throwable error) {
        String where = Arrays.stream(error.getStackTrace()).filter(frame -> frame.getFileName() != null
            && frame.getFileName().equals("Checks.java")).map(frame -> frame.getMethodName() + ":" + frame.getLineNumber())
            .limit(3).toList().toString();
        System.out.println(name + ": failed " + where + " " + String.valueOf(error).replaceAll("\\s+", " "));
      }
      checks.clear();
    }
  }
}

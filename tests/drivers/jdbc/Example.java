import java.sql.DriverManager;
import java.util.Properties;

/** Connects as docs/drivers.md says, and prints what a query brings. */
final class Example {
  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    try (var connection = DriverManager.getConnection(arguments[0], properties);
        var row = connection.createStatement().executeQuery(arguments[1])) {
      row.next();
      System.out.println(row.getString(1));
    }
  }
}

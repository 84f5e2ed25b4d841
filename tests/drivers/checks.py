"""What each driver has to show behind the balancer. A driver's program gets names from this list as arguments and prints
`name: ok` or `name: failed reason` for each; tests/README.md says what it finds in its environment."""

CHECKS = {
    "prepared": "named statements, kept at the servers, over many transactions of more clients than there are servers",
    "schema_change": "a table changes under a prepared statement: the client gets on, at most told once a server",
    "deallocate": "what was deallocated is unknown, what the driver prepares again works",
    "pipeline": "a batch is answered in order; one with an error in it leaves nothing and a usable connection",
    "copy_text": "COPY in and out as text; bad data is told and leaves a usable connection",
    "copy_binary": "COPY in and out in binary",
    "cancel": "a running query is cancelled by the driver's own means",
    "notify": "LISTEN and NOTIFY between two connections, and UNLISTEN",
    "errors": "SQLSTATE and fields of an error, and a usable connection afterwards",
    "error_in_transaction": "a failed transaction stays failed until it is rolled back, and leaves nothing",
    "large_values": "64 MB of bytea and of text, both ways",
    "large_objects": "written, read and removed",
    "tls": "verify-full; an authority or a name that is not the certificate's is refused by the driver",
    "channel_binding": "required by the client",
    "set": "parameters stay with their client over transactions, SET LOCAL does not",
    "read_after_write": "a client reads at once what it wrote; replicas answer who wrote nothing",
    "read_only": "a transaction READ ONLY is a replica's, and may not write",
    "savepoints": "a transaction goes on after an error behind a savepoint",
    "cursors": "many columns and rows, read in parts",
    "types": "values of many types there and back",
    "autocommit": "off: nobody sees what is not committed, and who leaves leaves nothing; on again",
    "temporary_table": "stays with its client over transactions",
    "server_lost": "in a transaction the client is told, rolls back and goes on; otherwise it notices nothing",
}

# What a driver has no means for, in the version of the Debian package or of the lock file.
ABSENT = {
    "jdbc": {"channel_binding": "not in 42.5"},
}

# With a server for each client as long as it stays, which no replica is, and with a server for one statement only.
SESSION = [name for name in CHECKS if name not in ("large_values", "schema_change", "read_after_write", "read_only", "server_lost")]
STATEMENT = ["prepared", "copy_text", "copy_binary", "cancel", "errors", "types", "tls"]
CHECKS_OF = {"transaction": list(CHECKS), "session": SESSION, "statement": STATEMENT}


def checks_for(driver: str, mode: str) -> list[str]:
    return [name for name in CHECKS_OF[mode] if name not in ABSENT.get(driver, {})]

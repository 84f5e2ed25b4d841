# DBD::Pg: see ../checks.py.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);
use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(sleep time);

$| = 1;
my ($clients, $servers, $mode) = @ENV{qw(CHECK_CLIENTS CHECK_SERVERS CHECK_MODE)};
my $large = 64 << 20;

sub connected {
    my ($options, %attributes) = @_;
    my $dsn = "dbi:Pg:dbname=$ENV{PGDATABASE}" . ($options ? ";$options" : '');
    return DBI->connect($dsn, $ENV{PGUSER}, $ENV{PGPASSWORD},
        {RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_server_prepare => 1, %attributes});
}

sub check { my ($holds, $what) = @_; die "$what\n" if !$holds; return }

sub same {
    my ($found, $wanted, $what) = @_;
    $found = 'NULL' if !defined $found;
    die sprintf("%s: '%.200s' instead of '%.200s'\n", $what // '', $found, $wanted) if $found ne $wanted;
    return;
}

sub value { my ($dbh, $sql, @values) = @_; return ($dbh->selectrow_array($sql, undef, @values))[0] }

sub refused {
    my ($dbh, $state, $what) = @_;
    my $done = eval { $what->(); 1 };
    my $why = $@;
    check(!$done, "no error $state");
    same($dbh->state, $state, $why);
    return;
}

sub at_replica { return value($_[0], 'SELECT here()') ne $ENV{CHECK_PRIMARY_PORT} }

sub bytes { my ($count) = @_; srand 7; return join('', map { chr int rand 256 } 1 .. 4096) x ($count >> 12) }

my %checks;

$checks{prepared} = sub {
    my @all = map { connected() } 1 .. $clients;
    $all[0]->do('CREATE TABLE prepared (client int, n int)');
    my @inserts = map { $_->prepare('INSERT INTO prepared VALUES (?, ?) RETURNING n * 2, pg_backend_pid()', {pg_prepare_now => 1}) } @all;
    my @reads = map { $_->prepare('SELECT max(n) FROM prepared WHERE client = ?', {pg_prepare_now => 1}) } @all;
    my %pids;
    for my $n (0 .. 4) {
        for my $i (0 .. $#all) {
            $inserts[$i]->execute($i, $n);
            my ($double, $pid) = $inserts[$i]->fetchrow_array;
            same($double, 2 * $n, 'inserted');
            $pids{$pid} = 1;
            $reads[$i]->execute($i);
            same(($reads[$i]->fetchrow_array)[0], $n, 'max');
        }
    }
    check(keys %pids <= $servers, keys(%pids) . ' servers');
    same(value($all[0], 'SELECT count(*) FROM prepared'), 5 * @all, 'count');
    if ($mode ne 'statement') {
        $all[0]->begin_work;
        $inserts[0]->execute(0, 9);
        check(value($all[0], q{SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO prepared%'}) >= 1,
            'not kept at the server');
        $all[0]->commit;
    }
    undef @inserts;
    undef @reads;
    return;
};

$checks{schema_change} = sub {
    my ($one, $two) = (connected(), connected());
    $two->do('CREATE TABLE shaped (a int)');
    $two->do('INSERT INTO shaped VALUES (1)');
    my $ask = $one->prepare('SELECT * FROM shaped', {pg_prepare_now => 1});
    for (1 .. 3) { $ask->execute; same(scalar @{$ask->fetchrow_arrayref}, 1, 'before') }
    $two->do(q{ALTER TABLE shaped ADD COLUMN b text DEFAULT 'new'});
    for (my $told = 0; !eval { $ask->execute; 1 }; $told++) {
        same($ask->state, '0A000', $@);
        check($told < $servers, 'told of the change again and again');
    }
    my $row = $one->selectrow_arrayref('SELECT * FROM shaped');
    same("@$row", '1 new', 'after the change');
    return;
};

$checks{deallocate} = sub {
    my ($one, $two) = (connected(), connected());
    $one->do('PREPARE mine AS SELECT 1');
    same(value($one, 'EXECUTE mine'), 1);
    $one->do('DEALLOCATE mine');
    refused($one, '26000', sub { value($one, 'EXECUTE mine') });
    my $kept = $two->prepare('SELECT 1 + ?', {pg_prepare_now => 1});
    for my $how ('one handle', 'DEALLOCATE ALL', 'DISCARD ALL') {
        for my $n (1 .. 10) {    # each handle that goes deallocates its statement
            same(value($one, 'SELECT 1 + ?::int', $n), $n + 1, $how);
            my $handle = $one->prepare('SELECT 1 + ?::int', {pg_prepare_now => 1});
            $handle->execute($n);
            same(($handle->fetchrow_array)[0], $n + 1, $how);
        }
        $kept->execute(6);
        same(($kept->fetchrow_array)[0], 7, 'of the other');
        $one->do($how) if $how =~ /ALL/;
    }
    return;
};

$checks{pipeline} = sub {    # as near as it comes: a batch
    my $one = connected();
    $one->do('CREATE TABLE piped (n int PRIMARY KEY)');
    my $insert = $one->prepare('INSERT INTO piped VALUES (?)');
    same($insert->execute_array({}, [0 .. 299]), 300, 'rows of the batch');
    refused($one, '23505', sub { $one->do('INSERT INTO piped VALUES (1000); INSERT INTO piped VALUES (5)') });
    same(value($one, 'SELECT count(*) FROM piped'), 300, 'count');
    return;
};

sub copied_out {
    my ($dbh, $sql) = @_;
    my ($all, $part) = ('', '');
    $dbh->do($sql);
    $all .= $part while $dbh->pg_getcopydata($part) >= 0;
    return $all;
}

sub copy_as {
    my ($table, $format) = @_;
    my $one = connected('', pg_enable_utf8 => 0);
    $one->do("CREATE TABLE $table (n int, text text)");
    my $data = copied_out($one, qq{COPY (SELECT n, CASE WHEN n % 7 > 0 THEN E'\\u00e9\\t' || n END FROM generate_series(1, 10000) n)
        TO STDOUT (FORMAT $format)});
    $one->do("COPY $table FROM STDIN (FORMAT $format)");
    for (my $at = 0; $at < length $data; $at += 5000) { $one->pg_putcopydata(substr $data, $at, 5000) }
    $one->pg_putcopyend;
    check(copied_out($one, "COPY $table TO STDOUT (FORMAT $format)") eq $data, 'came back changed');
    same(value($one, "SELECT count(text) FROM $table"), 8572, 'count');
    return;
}

$checks{copy_text} = sub {
    copy_as('copied_text', 'text');
    my $one = connected();
    $one->do('COPY copied_text FROM STDIN');
    $one->pg_putcopydata("1\tgood\nno number\tbad\n");
    refused($one, '22P02', sub { $one->pg_putcopyend });
    same(value($one, 'SELECT count(*) FROM copied_text'), 10000, 'count');
    return;
};

$checks{copy_binary} = sub { copy_as('copied_binary', 'binary'); return };

$checks{cancel} = sub {
    my ($one, $two) = (connected(), connected());
    my $statement = $one->prepare('SELECT pg_backend_pid(), pg_sleep(60)', {pg_async => PG_ASYNC});
    my $began = time;
    $statement->execute;
    my $count = q{SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid(), pg_sleep(60)' AND state = 'active'};
    while (!value($two, $count)) { check(time - $began < 10, 'it does not run') }
    check($one->pg_cancel, 'not cancelled');
    check(time - $began < 30, 'it took its time');
    same(value($two, $count), 0, 'it runs on');
    same(value($one, 'SELECT 1'), 1, 'afterwards');
    return;
};

$checks{notify} = sub {
    my ($one, $two) = (connected(), connected());
    $one->do('LISTEN news');
    for my $n (0 .. 2) {
        $two->do(q{SELECT pg_notify('news', ?)}, undef, "number $n");
        my ($note, $end) = (undef, time + 10);
        until ($note = $one->pg_notifies) { check(time < $end, 'no notification'); sleep 0.01 }
        same("$note->[0]: $note->[2]", "news: number $n", 'notification');
    }
    $one->do('UNLISTEN *');
    same(value($one, 'SELECT count(*) FROM pg_listening_channels()'), 0, 'channels');
    return;
};

$checks{errors} = sub {
    my $one = connected();
    $one->do('CREATE TABLE unique_ones (n int PRIMARY KEY)');
    $one->do('INSERT INTO unique_ones VALUES (1)');
    for my $n (1 .. 3) {
        refused($one, '42601', sub { $one->do('SELEC 1') });
        refused($one, '22012', sub { value($one, 'SELECT 1 / ?::int', 0) });
        refused($one, '23505', sub { $one->do('INSERT INTO unique_ones VALUES (1)') });
        same($one->pg_error_field('constraint'), 'unique_ones_pkey', 'constraint');
        same($one->pg_error_field('detail'), 'Key (n)=(1) already exists.', 'detail');
        same(value($one, 'SELECT ?::int + 1', $n), $n + 1, 'afterwards');
    }
    return;
};

$checks{error_in_transaction} = sub {
    my $one = connected();
    $one->do('CREATE TABLE undone (n int)');
    $one->begin_work;
    $one->do('INSERT INTO undone VALUES (1)');
    refused($one, '22012', sub { $one->do('SELECT 1 / 0') });
    refused($one, '25P02', sub { $one->do('SELECT 1') });
    $one->rollback;
    same(value($one, 'SELECT count(*) FROM undone'), 0, 'count');
    return;
};

$checks{large_values} = sub {
    my $one = connected('', pg_enable_utf8 => 0);
    my $data = bytes($large);
    my $ask = $one->prepare('SELECT md5(?::bytea), ?::bytea');
    $ask->bind_param($_, $data, {pg_type => PG_BYTEA}) for 1 .. 2;
    $ask->execute;
    my ($sum, $back) = $ask->fetchrow_array;
    same($sum, md5_hex($data), 'md5');
    check($back eq $data, 'bytea came back changed');
    undef $ask;
    my $text = join('', 'a' .. 'p') x ($large >> 4);
    check(value($one, 'SELECT ?::text', $text) eq $text, 'text came back changed');
    same(value($one, 'SELECT 1'), 1, 'afterwards');
    return;
};

$checks{large_objects} = sub {
    my $one = connected('', pg_enable_utf8 => 0);
    my ($data, $back) = (bytes(1 << 20), '');
    $one->begin_work;
    my $object = $one->pg_lo_creat($one->{pg_INV_WRITE} | $one->{pg_INV_READ});
    my $handle = $one->pg_lo_open($object, $one->{pg_INV_WRITE});
    same($one->pg_lo_write($handle, $data, length $data), length $data, 'written');
    $one->pg_lo_close($handle);
    $one->commit;
    $one->begin_work;
    $handle = $one->pg_lo_open($object, $one->{pg_INV_READ});
    same($one->pg_lo_lseek($handle, 4096, 0), 4096, 'place');
    $one->pg_lo_read($handle, $back, length $data);
    check($back eq substr($data, 4096), 'came back changed');
    check($one->pg_lo_unlink($object), 'not removed');
    $one->commit;
    refused($one, '42704', sub { value($one, 'SELECT lo_get(?)', $object) });
    return;
};

$checks{tls} = sub {
    my $secure = 'sslmode=verify-full;sslrootcert=';
    same(value(connected($secure . $ENV{CHECK_CA}), 'SELECT 1'), 1, 'over TLS');
    for my $wrong ($secure . $ENV{CHECK_OTHER_CA}, "$secure$ENV{CHECK_CA};host=127.0.0.1") {
        check(!eval { connected($wrong); 1 } && $@ =~ /certificate/, "connected with $wrong");
    }
    return;
};

$checks{channel_binding} = sub {
    my $one = connected("sslmode=verify-full;sslrootcert=$ENV{CHECK_CA};channel_binding=require");
    same(value($one, 'SELECT current_user'), $ENV{PGUSER}, 'user');
    return;
};

$checks{set} = sub {
    my @all = map { connected("application_name=client$_") } 1 .. $clients;
    my $number = 0;
    for my $one (@all) {
        $number++;
        $one->do("SET work_mem = '${number}MB'");
        value($one, q{SELECT set_config('my.number', ?, false)}, $number);
    }
    for my $time (1 .. 3) {
        for my $n (1 .. @all) {
            my $one = $all[$n - 1];
            $one->begin_work;
            $one->do(q{SET LOCAL work_mem = '77MB'});
            same(value($one, 'SHOW work_mem'), '77MB', 'SET LOCAL');
            $one->commit;
            same(value($one, q{SELECT current_setting('work_mem') || current_setting('my.number') ||
                current_setting('application_name')}), "${n}MB${n}client$n", 'parameters');
        }
    }
    $all[0]->do('RESET work_mem');
    same(value($all[0], 'SHOW work_mem'), '4MB', 'RESET');
    return;
};

$checks{read_after_write} = sub {
    my ($one, $fresh, $end) = (connected(), connected(), time + 10);
    $one->do('CREATE TABLE written (n int)');
    $one->do('INSERT INTO written VALUES (0)');
    for my $n (1 .. 99) {
        $one->do('UPDATE written SET n = ?', undef, $n);
        same(value($one, 'SELECT n FROM written'), $n, 'read');
    }
    until (at_replica($fresh)) { check(time < $end, 'no replica answers') }
    return;
};

$checks{read_only} = sub {
    my $one = connected();
    $one->do('BEGIN READ ONLY');
    check(at_replica($one), 'not at a replica');
    refused($one, '25006', sub { $one->do('CREATE TABLE never (n int)') });
    $one->do('ROLLBACK');
    $one->{ReadOnly} = 1;    # BEGIN, then SET TRANSACTION READ ONLY
    $one->begin_work;
    check(!at_replica($one), 'at a replica');
    refused($one, '25006', sub { $one->do('CREATE TABLE never (n int)') });
    $one->rollback;
    $one->{ReadOnly} = 0;
    $one->begin_work;
    $one->do('CREATE TABLE now (n int)');
    check(!at_replica($one), 'at a replica');
    $one->commit;
    same(value($one, 'SELECT count(*) FROM now'), 0, 'count');
    return;
};

$checks{savepoints} = sub {
    my $one = connected();
    $one->do('CREATE TABLE saved (n int PRIMARY KEY)');
    $one->begin_work;
    $one->do('INSERT INTO saved VALUES (1)');
    $one->pg_savepoint('here');
    $one->do('INSERT INTO saved VALUES (2)');
    refused($one, '23505', sub { $one->do('INSERT INTO saved VALUES (?)', undef, 1) });
    $one->pg_rollback_to('here');
    $one->do('INSERT INTO saved VALUES (3)');
    $one->commit;
    same(value($one, q{SELECT string_agg(n::text, ' ' ORDER BY n) FROM saved}), '1 3', 'left');
    return;
};

$checks{cursors} = sub {
    my $one = connected();
    my ($columns, $count, $part) = (join(', ', map { "n + $_ AS c$_" } 0 .. 199), 0);
    $one->begin_work;
    $one->do("DECLARE bit_by_bit CURSOR FOR SELECT $columns FROM generate_series(1, 2000) n");
    while (@{$part = $one->selectall_arrayref('FETCH 100 FROM bit_by_bit')}) {
        for my $row (@$part) { $count++; same("@$row", join(' ', $count .. $count + 199), 'row') }
    }
    $one->commit;
    same($count, 2000, 'rows');
    return;
};

$checks{types} = sub {
    my $one = connected();
    my %things = (
        int2 => '-32768', int4 => '2147483647', int8 => '-9223372036854775808', numeric => '12345678901234567890.0123456789',
        float8 => '0.1', text => "gr\x{fc}n \x{2713} \\ ' \" \n", date => '1999-12-31', time => '01:02:03',
        timestamp => '2024-02-29 23:59:59.999999', interval => '3 days 00:00:07', inet => '10.1.2.3', int4range => '[1,9)',
        uuid => '00000000-0000-0000-0000-00000000004d', jsonb => "{\"a\": [1, null, \"\x{e9}\"]}", bool => 1);
    for my $type (sort keys %things) {
        same(value($one, "SELECT ?::$type", $things{$type}), $things{$type}, $type);
        check(!defined value($one, "SELECT ?::$type", undef), "$type: not null");
    }
    my $list = value($one, 'SELECT ?::int[]', [1, undef, 3]);
    same(join(' ', map { $_ // 'NULL' } @$list), '1 NULL 3', 'int[]');
    my $ask = $one->prepare('SELECT ?::bytea');
    my $data = join '', map { chr } 0 .. 255;
    $ask->bind_param(1, $data, {pg_type => PG_BYTEA});
    $ask->execute;
    check(($ask->fetchrow_array)[0] eq $data, 'bytea came back changed');
    return;
};

$checks{autocommit} = sub {
    my ($one, $two, $leaver) = (connected('', AutoCommit => 0), connected(), connected('', AutoCommit => 0));
    my $sum = 'SELECT coalesce(sum(n), 0) FROM committed';
    $one->do('CREATE TABLE committed (n int)');
    $one->commit;
    $one->do('INSERT INTO committed VALUES (1)');
    same(value($two, $sum), 0, 'before commit');
    $one->commit;
    same(value($two, $sum), 1, 'after commit');
    $one->do('INSERT INTO committed VALUES (2)');
    $one->rollback;
    $one->{AutoCommit} = 1;
    $one->do('INSERT INTO committed VALUES (3)');
    same(value($two, $sum), 4, 'after rollback');
    $leaver->do('INSERT INTO committed VALUES (100)');
    $leaver->disconnect;
    $two->begin_work;
    $two->do('LOCK TABLE committed IN SHARE MODE');    # waits for who left
    same(value($two, $sum), 4, 'after who left');
    $two->commit;
    return;
};

$checks{temporary_table} = sub {
    my ($one, $two) = (connected(), connected());
    $one->do('CREATE TEMP TABLE mine (n int)');
    for my $n (1 .. 5) {
        $one->do('INSERT INTO mine VALUES (?)', undef, $n);
        refused($two, '42P01', sub { $two->do('SELECT * FROM mine') });
    }
    same(value($one, 'SELECT count(*) FROM mine'), 5, 'count');
    $one->do('DROP TABLE mine');
    return;
};

$checks{server_lost} = sub {
    my ($idle, $told) = (connected(), connected());
    $idle->do(q{SET work_mem = '9MB'});
    $idle->do('CREATE TABLE lost (n int)');
    my $insert = $idle->prepare('INSERT INTO lost VALUES (?)', {pg_prepare_now => 1});
    $insert->execute(1);
    $told->begin_work;
    $told->do('INSERT INTO lost VALUES (2)');
    print "ask: lose the primary\n";
    same(scalar <STDIN>, "done\n", 'answer');
    check(!eval { $told->do('INSERT INTO lost VALUES (3)'); 1 }, 'the transaction went on');
    same($told->state, '40001', 'state');
    check($told->ping, 'it is gone');
    $told->rollback;
    same(value($told, 'SELECT sum(n) FROM lost'), 1, 'after the loss');
    same(value($idle, 'SHOW work_mem'), '9MB', 'who was idle');
    $insert->execute(4);
    same(value($idle, 'SELECT sum(n) FROM lost'), 5, 'who was idle');
    return;
};

for my $name (@ARGV) {
    my $done = eval { $checks{$name}->(); 1 };
    my $why = $@ =~ s/\s+/ /gr;
    print $done ? "$name: ok\n" : "$name: failed $why\n";
}

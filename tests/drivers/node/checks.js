// node-postgres: see ../checks.py.
'use strict';
const assert = require('assert/strict');
const crypto = require('crypto');
const fs = require('fs');
const readline = require('readline');
const { once } = require('events');
const { pipeline: connectStreams } = require('stream/promises');
const { Readable } = require('stream');
const pg = require('pg');
const copy = require('pg-copy-streams');
const Cursor = require('pg-cursor');

const env = process.env;
const CLIENTS = Number(env.CHECK_CLIENTS);
const SERVERS = Number(env.CHECK_SERVERS);
const LARGE = 64 << 20;
const input = readline.createInterface({ input: process.stdin });
const open = new Set();

async function connect(more = {}) {
  const client = new pg.Client({ ssl: false, ...more });
  client.on('error', () => {}); // its queries tell
  await client.connect();
  open.add(client);
  return client;
}

const connectMany = (count) => Promise.all(Array.from({ length: count }, () => connect()));

async function rows(client, text, values, more = {}) {
  return (await client.query({ text, values, rowMode: 'array', ...more })).rows;
}

const value = async (client, ...rest) => (await rows(client, ...rest))[0][0];

async function refused(code, promise) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.code, code, error.message);
    return error;
  }
  throw new Error(`no error ${code}`);
}

const atReplica = async (client) => (await value(client, 'SELECT here()')) !== env.CHECK_PRIMARY_PORT;

const secure = (more = {}) => ({ ssl: { ca: fs.readFileSync(env.CHECK_CA), ...more } });

async function until(look, what) {
  for (const end = Date.now() + 10000; !look();) {
    assert(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const checks = {
  async prepared() {
    const clients = await connectMany(CLIENTS);
    await clients[0].query('CREATE TABLE prepared (client int, n int)');
    const insert = 'INSERT INTO prepared VALUES ($1, $2) RETURNING n * 2, pg_backend_pid()';
    const pids = new Set();
    for (let n = 0; n < 5; n++) {
      await Promise.all(clients.map(async (client, number) => {
        const [double, pid] = (await rows(client, insert, [number, n], { name: 'insert' }))[0];
        assert.equal(double, n * 2);
        pids.add(pid);
        assert.equal(await value(client, 'SELECT max(n) FROM prepared WHERE client = $1', [number], { name: 'max' }), n);
      }));
    }
    assert(pids.size <= SERVERS, `${pids.size} servers`);
    assert.equal(await value(clients[0], 'SELECT count(*)::int FROM prepared'), 5 * CLIENTS);
    if (env.CHECK_MODE === 'statement') return;
    await clients[0].query('BEGIN');
    await rows(clients[0], insert, [0, 9], { name: 'insert' });
    assert(await value(clients[0], "SELECT count(*)::int FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO prepared%'"));
    await clients[0].query('COMMIT');
  },

  async schema_change() {
    const [one, two] = await connectMany(2);
    await two.query('CREATE TABLE shaped (a int); INSERT INTO shaped VALUES (1)');
    const ask = () => rows(one, 'SELECT * FROM shaped', [], { name: 'shaped' });
    for (let n = 0; n < 3; n++) assert.deepEqual(await ask(), [[1]]);
    await two.query("ALTER TABLE shaped ADD COLUMN b text DEFAULT 'new'");
    for (let told = 0; ; told++) {
      assert(told <= SERVERS, 'told of the change again and again');
      const answer = await ask().catch((error) => error);
      if (answer.code === '0A000') continue;
      assert.deepEqual(answer, [[1, 'new']]);
      return;
    }
  },

  async deallocate() {
    const [one, two] = await connectMany(2);
    await one.query('PREPARE mine AS SELECT 1');
    assert.equal(await value(one, 'EXECUTE mine'), 1);
    await one.query('DEALLOCATE mine');
    await refused('26000', one.query('EXECUTE mine'));
    const ask = (client, name) => value(client, 'SELECT 1 + $1::int', [6], { name });
    for (const how of ['DEALLOCATE named', 'DEALLOCATE ALL', 'DISCARD ALL']) {
      for (const client of [one, two]) assert.equal(await ask(client, 'named'), 7);
      await one.query(how);
      await refused('26000', ask(one, 'named')); // the driver does not look at what it is told
      assert.equal(await ask(two, 'named'), 7);
      delete one.connection.parsedStatements.named;
      assert.equal(await ask(one, 'named'), 7, how);
    }
  },

  async pipeline() {
    const one = await connect({ pipeline: true });
    await one.query('CREATE TABLE piped (n int PRIMARY KEY)');
    const insert = (n) => one.query({ text: 'INSERT INTO piped VALUES ($1) RETURNING n', values: [n], name: 'insert' });
    const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => insert(n)));
    assert.deepEqual(answers.map((answer) => answer.rows[0].n), Array.from({ length: 300 }, (_, n) => n));
    // Each request ends with a Sync of its own here: the others are not touched.
    const codes = (await Promise.allSettled([1000, 1001, 5, 1002].map(insert))).map((answer) => answer.reason?.code);
    assert.deepEqual(codes, [undefined, undefined, '23505', undefined]);
    const batch = 'INSERT INTO piped VALUES (2000); INSERT INTO piped VALUES (5)';
    await refused('23505', one.query(batch));
    assert.equal(await value(one, 'SELECT count(*)::int FROM piped'), 303);
  },

  async copy_text() {
    const one = await connect();
    await one.query('CREATE TABLE copied (n int, text text)');
    const text = Array.from({ length: 10000 }, (_, n) => `${n}\t${n % 7 ? `é\\t\\\\${n}` : '\\N'}\n`).join('');
    await connectStreams(Readable.from([text]), one.query(copy.from('COPY copied FROM STDIN')));
    assert.equal(await value(one, 'SELECT count(*)::int FROM copied WHERE text IS NULL'), 1429);
    const out = [];
    for await (const chunk of one.query(copy.to('COPY (SELECT * FROM copied ORDER BY n) TO STDOUT'))) out.push(chunk);
    assert.equal(Buffer.concat(out).toString(), text);
    await refused('22P02', connectStreams(Readable.from(['1\tgood\nno number\tbad\n']), one.query(copy.from('COPY copied FROM STDIN'))));
    assert.equal(await value(one, 'SELECT count(*)::int FROM copied'), 10000);
  },

  async copy_binary() {
    const one = await connect();
    const read = async () => {
      const out = [];
      const query = 'COPY (SELECT n, md5(n::text) FROM generate_series(1, 10000) n) TO STDOUT (FORMAT binary)';
      for await (const chunk of one.query(copy.to(query))) out.push(chunk);
      return Buffer.concat(out);
    };
    const data = await read();
    assert.equal(data.subarray(0, 6).toString(), 'PGCOPY');
    await one.query('CREATE TABLE copied_binary (n int, text text)');
    await connectStreams(Readable.from([data]), one.query(copy.from('COPY copied_binary FROM STDIN (FORMAT binary)')));
    assert.deepEqual(await rows(one, 'SELECT count(*)::int, bool_and(text = md5(n::text)) FROM copied_binary'), [[10000, true]]);
  },

  async cancel() {
    const [one, two] = await connectMany(2);
    const query = new pg.Query('SELECT pg_backend_pid(), pg_sleep(60)');
    const ended = once(query, 'error');
    one.query(query);
    setTimeout(() => new pg.Client({ ssl: false }).cancel(one, query), 300);
    assert.equal((await ended)[0].code, '57014');
    assert.equal(await value(one, 'SELECT 1'), 1);
    assert.equal(await value(two, "SELECT count(*)::int FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid(), pg_sleep(60)' AND state = 'active'"), 0);
  },

  async notify() {
    const [one, two] = await connectMany(2);
    const heard = [];
    one.on('notification', (note) => heard.push(`${note.channel}: ${note.payload}`));
    await one.query('LISTEN news');
    for (let n = 0; n < 3; n++) await two.query("SELECT pg_notify('news', $1)", [`number ${n}`]);
    await until(() => heard.length === 3, 'no notification');
    assert.deepEqual(heard, ['news: number 0', 'news: number 1', 'news: number 2']);
    await one.query('UNLISTEN *');
    assert.equal(await value(one, 'SELECT count(*)::int FROM pg_listening_channels()'), 0);
  },

  async errors() {
    const one = await connect();
    await one.query('CREATE TABLE unique_ones (n int PRIMARY KEY)');
    await one.query('INSERT INTO unique_ones VALUES (1)');
    for (let n = 0; n < 3; n++) {
      await refused('42601', one.query('SELEC 1'));
      await refused('22012', one.query('SELECT 1 / $1::int', [0]));
      const error = await refused('23505', one.query('INSERT INTO unique_ones VALUES (1)'));
      assert.equal(error.constraint, 'unique_ones_pkey');
      assert.equal(error.detail, 'Key (n)=(1) already exists.');
      assert.equal(error.severity, 'ERROR');
      assert.equal(await value(one, 'SELECT $1::int + 1', [n]), n + 1);
    }
  },

  async error_in_transaction() {
    const one = await connect();
    await one.query('CREATE TABLE undone (n int)');
    await one.query('BEGIN');
    await one.query('INSERT INTO undone VALUES (1)');
    await refused('22012', one.query('SELECT 1 / 0'));
    await refused('25P02', one.query('SELECT 1'));
    await one.query('ROLLBACK');
    assert.equal(await value(one, 'SELECT count(*)::int FROM undone'), 0);
  },

  async large_values() {
    const one = await connect();
    const data = Buffer.alloc(LARGE, crypto.randomBytes(1 << 20));
    const [sum, back] = (await rows(one, 'SELECT md5($1::bytea), $1::bytea', [data]))[0];
    assert.equal(sum, crypto.createHash('md5').update(data).digest('hex'));
    assert(data.equals(back), 'bytea came back changed');
    const text = 'é'.repeat(LARGE / 2);
    assert((await value(one, 'SELECT $1::text', [text])) === text, 'text came back changed');
    assert.equal(await value(one, 'SELECT 1'), 1);
  },

  async large_objects() {
    const one = await connect();
    const data = crypto.randomBytes(1 << 20);
    await one.query('BEGIN');
    const oid = await value(one, 'SELECT lo_create(0)');
    const handle = await value(one, 'SELECT lo_open($1, 131072)', [oid]);
    for (let at = 0; at < data.length; at += 1 << 18) {
      assert.equal(await value(one, 'SELECT lowrite($1, $2)', [handle, data.subarray(at, at + (1 << 18))]), 1 << 18);
    }
    await one.query('COMMIT');
    assert(data.equals(await value(one, 'SELECT lo_get($1)', [oid])));
    assert.equal(await value(one, 'SELECT lo_unlink($1)', [oid]), 1);
    await refused('42704', one.query('SELECT lo_get($1)', [oid]));
  },

  async tls() {
    const one = await connect(secure());
    assert(one.connection.stream.encrypted && one.connection.stream.authorized);
    assert.equal(await value(one, 'SELECT 1'), 1);
    await assert.rejects(connect({ ssl: { ca: fs.readFileSync(env.CHECK_OTHER_CA) } }), /certificate/);
  },

  async channel_binding() {
    const mechanisms = [];
    const connection = new pg.Connection({ ...secure(), stream: undefined });
    const send = connection.sendSASLInitialResponseMessage;
    connection.sendSASLInitialResponseMessage = function (mechanism, ...rest) {
      mechanisms.push(mechanism);
      send.call(this, mechanism, ...rest);
    };
    const one = await connect({ ...secure(), enableChannelBinding: true, connection });
    assert.deepEqual(mechanisms, ['SCRAM-SHA-256-PLUS']);
    assert.equal(await value(one, 'SELECT current_user::text'), env.PGUSER);
  },

  async set() {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => connect({ application_name: `client ${n}` })));
    await Promise.all(clients.map(async (client, n) => {
      await client.query(`SET work_mem = '${n + 1}MB'`);
      await client.query("SELECT set_config('my.number', $1, false)", [`${n}`]);
      for (let time = 0; time < 3; time++) {
        await client.query('BEGIN');
        await client.query("SET LOCAL work_mem = '77MB'");
        assert.equal(await value(client, 'SHOW work_mem'), '77MB');
        await client.query('COMMIT');
        const names = ['work_mem', 'my.number', 'application_name'].map((name) => `current_setting('${name}')`);
        assert.deepEqual(await rows(client, `SELECT ${names}`), [[`${n + 1}MB`, `${n}`, `client ${n}`]]);
      }
    }));
    await clients[0].query('RESET work_mem');
    assert.equal(await value(clients[0], 'SHOW work_mem'), '4MB');
    const reported = once(clients[0].connection, 'parameterStatus');
    await clients[0].query("SET TimeZone = 'Asia/Tokyo'");
    assert.equal((await reported)[0].parameterValue, 'Asia/Tokyo');
    assert.notEqual(await value(clients[1], 'SHOW TimeZone'), 'Asia/Tokyo');
  },

  async read_after_write() {
    const [one, fresh] = await connectMany(2);
    await one.query('CREATE TABLE written (n int)');
    await one.query('INSERT INTO written VALUES (0)');
    for (let n = 1; n < 100; n++) {
      await one.query('UPDATE written SET n = $1', [n]);
      assert.equal(await value(one, 'SELECT n FROM written'), n);
    }
    for (const end = Date.now() + 10000; !(await atReplica(fresh));) assert(Date.now() < end, 'no replica answers');
  },

  async read_only() {
    const one = await connect();
    await one.query('BEGIN READ ONLY');
    assert(await atReplica(one));
    await refused('25006', one.query('CREATE TABLE never (n int)'));
    await one.query('ROLLBACK');
    await one.query('BEGIN');
    await one.query('CREATE TABLE now (n int)');
    assert(!(await atReplica(one)));
    await one.query('COMMIT');
    assert.equal(await value(one, 'SELECT count(*)::int FROM now'), 0);
  },

  async savepoints() {
    const one = await connect();
    await one.query('CREATE TABLE saved (n int PRIMARY KEY)');
    await one.query('BEGIN');
    await one.query('INSERT INTO saved VALUES (1)');
    await one.query('SAVEPOINT here');
    await one.query('INSERT INTO saved VALUES (2)');
    await refused('23505', one.query('INSERT INTO saved VALUES ($1)', [1]));
    await one.query('ROLLBACK TO here');
    await one.query('INSERT INTO saved VALUES (3)');
    await one.query('COMMIT');
    assert.deepEqual(await rows(one, 'SELECT n FROM saved ORDER BY n'), [[1], [3]]);
  },

  async cursors() {
    const one = await connect();
    const columns = Array.from({ length: 200 }, (_, k) => `n + ${k} AS c${k}`);
    const cursor = one.query(new Cursor(`SELECT ${columns} FROM generate_series(1, $1::int) n`, [2000], { rowMode: 'array' }));
    let count = 0;
    for (let part; (part = await cursor.read(100)).length;) {
      for (const row of part) {
        count++;
        assert(row.every((field, k) => field === count + k), `row ${count}`);
      }
    }
    assert.equal(count, 2000);
    await cursor.close();
    const left = one.query(new Cursor('SELECT * FROM generate_series(1, 100000)'));
    assert.equal((await left.read(10)).length, 10);
    await left.close(); // before its end
    assert.equal(await value(one, 'SELECT 1'), 1);
  },

  async types() {
    const one = await connect();
    const sent = {
      int2: -32768, int4: 2147483647, int8: '-9223372036854775808', numeric: '12345678901234567890.0123456789', float8: 0.1,
      bool: true, text: 'grün ✓ \\ \' " \n', bytea: Buffer.from(Array.from({ length: 256 }, (_, n) => n)),
      timestamptz: new Date('2024-02-29T01:02:03.456Z'), timestamp: new Date(2024, 1, 29, 23, 59, 59, 999), time: '01:02:03',
      uuid: '00000000-0000-0000-0000-00000000004d', jsonb: { a: [1, null, 'é'] }, 'int4[]': [1, null, 3],
      'text[]': ['a', 'b"', null], inet: '10.1.2.3', int4range: '[1,9)', date: new Date(1999, 11, 31),
    };
    for (const [type, thing] of Object.entries(sent)) {
      assert.deepEqual(await value(one, `SELECT $1::${type}`, [thing]), thing, type);
      assert.equal(await value(one, `SELECT $1::${type}`, [null]), null, type);
    }
    assert.equal((await value(one, "SELECT '3 days 7 seconds'::interval")).toPostgres(), '7 seconds 3 days');
  },

  async autocommit() {
    const [one, two, leaver] = await connectMany(3);
    await one.query('CREATE TABLE committed (n int)');
    const sum = () => value(two, 'SELECT coalesce(sum(n), 0)::int FROM committed');
    await one.query('BEGIN');
    await one.query('INSERT INTO committed VALUES (1)');
    assert.equal(await sum(), 0);
    await one.query('COMMIT');
    assert.equal(await sum(), 1);
    await one.query('BEGIN');
    await one.query('INSERT INTO committed VALUES (2)');
    await one.query('ROLLBACK');
    await one.query('INSERT INTO committed VALUES (3)');
    assert.equal(await sum(), 4);
    await leaver.query('BEGIN');
    await leaver.query('INSERT INTO committed VALUES (100)');
    await leaver.end();
    open.delete(leaver);
    await two.query('BEGIN; LOCK TABLE committed IN SHARE MODE; COMMIT'); // waits for who left
    assert.equal(await sum(), 4);
  },

  async temporary_table() {
    const [one, two] = await connectMany(2);
    await one.query('CREATE TEMP TABLE mine (n int)');
    for (let n = 0; n < 5; n++) {
      await one.query('INSERT INTO mine VALUES ($1)', [n]);
      await refused('42P01', two.query('SELECT * FROM mine'));
    }
    assert.equal(await value(one, 'SELECT count(*)::int FROM mine'), 5);
    await one.query('DROP TABLE mine');
  },

  async server_lost() {
    const [idle, told] = await connectMany(2);
    await idle.query("SET work_mem = '9MB'");
    await idle.query('CREATE TABLE lost (n int)');
    const insert = (n) => value(idle, 'INSERT INTO lost VALUES ($1) RETURNING n', [n], { name: 'insert' });
    assert.equal(await insert(1), 1);
    await told.query('BEGIN');
    await told.query('INSERT INTO lost VALUES (2)');
    console.log('ask: lose the primary');
    assert.deepEqual(await once(input, 'line'), ['done']);
    const error = await told.query('INSERT INTO lost VALUES (3)').then(() => null, (reason) => reason);
    assert(error, 'the transaction went on');
    assert.equal(error.code, '40001');
    await told.query('ROLLBACK');
    assert.equal(await value(told, 'SELECT sum(n)::int FROM lost'), 1);
    assert.equal(await value(idle, 'SHOW work_mem'), '9MB');
    assert.equal(await insert(4), 4);
    assert.equal(await value(idle, 'SELECT sum(n)::int FROM lost'), 5);
  },
};

async function main() {
  for (const name of process.argv.slice(2)) {
    try {
      await checks[name]();
      console.log(`${name}: ok`);
    } catch (error) {
      const line = /checks\.js:(\d+)/.exec(error.stack || '')?.[1];
      console.log(`${name}: failed line ${line}: ${error.code || ''} ${String(error.message).replace(/\s+/g, ' ').slice(0, 400)}`);
    }
    await Promise.all([...open].map((client) => client.end().catch(() => {})));
    open.clear();
  }
  input.close();
}

main();

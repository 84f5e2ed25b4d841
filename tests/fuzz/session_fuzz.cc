// The session path as a whole: a real reactor with sessions, pools and servers, between clients and servers that both
// do what the fuzzer says. In the honest mode clients send valid messages in any order, and servers answer as
// PostgreSQL does: then no server may be shared while it holds anything of a session, nobody may get a row that answers
// somebody else, and everyone gets all his answers. In the other modes bytes of any kind come from either side, and
// nothing may break.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "fuzz_ends.h"
#include "net/socket.h"
#include "proxy/catalog_directory.h"
#include "proxy/pool.h"
#include "proxy/reactor.h"

using namespace pgb;
using namespace pgb::fuzz;
using namespace pgb::proxy;

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kClients = 3;
constexpr size_t kMostActions = 200;
constexpr std::chrono::seconds kPatience{5};

// '@' is the client's mark.
constexpr const char* kTexts[] = {
    "SELECT '@'",
    "SELECT '@' FROM t",
    "INSERT INTO t VALUES ('@')",
    "BEGIN /*@*/",
    "COMMIT /*@*/",
    "ROLLBACK /*@*/",
    "SET work_mem = '@-1' /*@*/",
    "RESET work_mem /*@*/",
    "DISCARD ALL /*@*/",
    "COPY t TO STDOUT /*@*/",
    "SELECT 1/0, '@'",
    "CREATE TEMP TABLE x AS SELECT '@'",
    "BEGIN READ ONLY /*@*/",
    "DEALLOCATE ALL /*@*/",
    "SELECT 'many', '@'",
    "DO $$ BEGIN PERFORM '@'; END $$",
    "SELECT f('@')",
    "SELECT $1",  // shared by all
    "INSERT INTO t VALUES ($1)",
    "COPY t FROM STDIN /*@*/",
    "",
};

class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return bytes_.empty(); }
  uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto value = static_cast<uint8_t>(bytes_[0]);
    bytes_.remove_prefix(1);
    return value;
  }
  std::string some(size_t most) {
    const size_t size = std::min(most, bytes_.size());
    std::string out(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return out;
  }

 private:
  std::string_view bytes_;
};

// One for the process: what costs threads, sockets and parsed texts.
struct World {
  Listener nodes[2], front;
  uint16_t port = front.port();
  Settings settings;
  TopologyPtr topology;
  Counters counters;
  CancelRegistry cancels;
  Secret mock = Secret::random(32);
  ParameterSets sets;
  Quotas quotas;
  Greetings greetings;
  Reasons reasons;
  CurrentConsole console;
  std::unique_ptr<AuthDirectory> auth;
  std::unique_ptr<CurrentHba> hba;
  std::unique_ptr<CatalogDirectory> catalogs;
  std::unique_ptr<Shared> shared;
  std::unique_ptr<Reactor> reactor;

  World() {
    log::setup("fuzz", log::Level::kError);
    settings.hba = std::make_shared<HbaRules>(*HbaRules::parse("host all all all trust"));
    settings.pool.pool_size = 2;
    const auto nobody = std::make_shared<TopologySnapshot>();  // who asks for catalogues and secrets finds none
    auto snapshot = std::make_shared<TopologySnapshot>();
    snapshot->nodes = {{"one", "127.0.0.1", nodes[0].port(), NodeRole::kPrimary, true, ""},
                       {"two", "127.0.0.1", nodes[1].port(), NodeRole::kReplica, true, ""}};
    snapshot->nodes[1].gauge->caught_up_ns = INT64_MAX / 2;
    topology = snapshot;
    counters.max_clients = 1000;
    auth = std::make_unique<AuthDirectory>(settings, mock, nobody);
    hba = std::make_unique<CurrentHba>(settings.hba);
    catalogs = std::make_unique<CatalogDirectory>(
        settings, nobody, [](const std::string&) { return true; }, [](const std::string&, const sql::CatalogPtr&) {});
    shared.reset(new Shared{
        settings, counters, cancels, *auth, *hba, console, mock, sets, quotas, greetings, reasons, catalogs.get(),
        [this](unsigned, std::function<void(ReactorContext&)> action) { reactor->run(std::move(action)); }});
    std::vector<os::UniqueFd> listeners;
    listeners.push_back(front.release());
    reactor = std::move(*Reactor::create(0, std::move(listeners), *shared, topology));
    reactor->start(true);
  }
};

World& world() {
  static World* const one = new World();  // outlives its threads
  return *one;
}

// One input, acted out step by step between the reactor's rounds.
class Play {
 public:
  Play(const uint8_t* data, size_t size, World& world) : input_(data, size), world_(world) {
    const uint8_t flags = input_.byte();
    PoolSettings settings;
    constexpr PoolMode kModes[] = {PoolMode::kTransaction, PoolMode::kTransaction, PoolMode::kSession,
                                   PoolMode::kStatement};
    mode_ = kModes[flags & 3];
    settings.mode = mode_;
    settings.pool_size = (flags & 4) != 0 || mode_ == PoolMode::kSession ? kClients : 1;
    settings.max_prepared = (flags & 8) != 0 ? 100 : 1;
    settings.read_write_split = (flags & 16) != 0;
    settings.max_clients = 1000;
    settings.query_wait_timeout = std::chrono::seconds(60);
    slow_ = (flags & 32) != 0;
    raw_clients_ = (flags & 192) == 64;
    raw_servers_ = (flags & 192) == 128;
    honest_ = !raw_clients_ && !raw_servers_;
    world_.reactor->set_pool(settings);
  }

  void run() {
    world_.reactor->run([this](ReactorContext&) { round(); });
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return is_done_; });
  }

 private:
  enum class Act : uint8_t { kBegin, kActions, kLastWords, kDrain, kEnd };

  // Once a round of the loop: what the kernel has is told between two of these.
  void round() {
    pump();
    switch (act_) {
      case Act::kBegin: begin(); break;
      case Act::kActions: action(); break;
      case Act::kLastWords: last_words(); break;
      case Act::kDrain: drain(); break;
      case Act::kEnd:
        if (end()) return;
        break;
    }
    world_.reactor->run([this](ReactorContext&) { round(); });
  }

  void next(Act act) {
    act_ = act;
    until_ = Clock::now() + kPatience;
  }

  void pump() {
    for (Listener& node : world_.nodes) {
      while (os::UniqueFd fd = node.accept()) servers_.push_back(std::make_unique<ServerEnd>(std::move(fd), honest_));
    }
    for (size_t i = 0; i < servers_.size(); ++i) {
      ServerEnd& server = *servers_[i];
      server.postgres.take(server.end.receive());
      if (!slow_) server.end.send(server.postgres.out);
      if (server.postgres.wants_close) server.end.close();
      if (!server.end.is_open()) servers_.erase(servers_.begin() + static_cast<std::ptrdiff_t>(i--));
    }
    for (ClientEnd& client : clients_) {
      if (!client.held) client.end.send(client.out);
      client.read(honest_);
    }
    if (!jobs_.empty()) std::erase_if(jobs_, [](End& job) { return job.receive(), !job.is_open(); });
  }

  End dial() const { return End(std::move(*net::start_connect(*net::Address::parse("127.0.0.1", world_.port)))); }

  void connect(size_t number) {
    ClientEnd& client = clients_[number] = ClientEnd();
    client.mark = "t" + std::to_string(number + kClients * (generation_[number]++ % 3));
    client.end = dial();
    static uint64_t plays = 0;
    if (user_.empty()) user_ = "u" + std::to_string(++plays);
    std::string body;
    append_number(body, 196608, 4);
    body += std::string("user\0", 5) + user_ + '\0' + std::string("database\0fuzz\0", 14) + '\0';
    append_number(client.out, static_cast<uint32_t>(body.size() + 4), 4);
    client.out += body;
  }

  void begin() {
    for (size_t i = 0; i < kClients; ++i) connect(i);
    next(Act::kActions);
  }

  static std::string text_for(uint8_t number, const ClientEnd& client) {
    std::string text = kTexts[number % std::size(kTexts)];
    for (size_t at = 0; (at = text.find('@', at)) != std::string::npos;) text.replace(at, 1, client.mark);
    return text;
  }

  static std::string name_of(uint8_t number) {
    return number % 4 == 0 ? std::string() : std::string(1, 's') + static_cast<char>('0' + number % 4);
  }

  void query(ClientEnd& client, std::string text) {
    if (mark_in(text).empty() && !text.empty()) text += " /*" + client.mark + "*/";
    client.out += message('Q', text + '\0');
    ++client.most_ready;
    if (!client.batch_open) ++client.least_ready;  // behind an error it is thrown away up to the Sync
    client.copying = text.find("FROM STDIN") != std::string::npos;
  }

  void parse(ClientEnd& client, uint8_t argument) {
    const std::string text = text_for(argument & 31, client);
    client.may_copy = client.may_copy || text.find("FROM STDIN") != std::string::npos;
    batch(client, message('P', name_of(argument >> 5) + '\0' + text + '\0' + std::string(2, '\0')));
  }

  // The end of the data of a COPY that it may turn out to be: servers that copy nothing pass over it.
  void execute(ClientEnd& client, uint8_t argument) {
    batch(client, message('E', std::string(argument % 2 == 0 ? "" : "p") + '\0' + std::string(4, '\0')));
    if (client.may_copy) end_copy(client, 1 + (argument >> 1 & 1));
  }

  void batch(ClientEnd& client, const std::string& message) {
    client.out += message;
    client.batch_open = true;
  }

  void sync(ClientEnd& client) {
    client.out += message('S', "");
    client.batch_open = false;
    ++client.least_ready;
    ++client.most_ready;
  }

  void bind(ClientEnd& client, uint8_t argument) {
    std::string body = std::string(argument % 2 == 0 ? "" : "p") + '\0' + name_of(argument >> 1) + '\0';
    const std::string value = "*" + client.mark;
    append_number(body, 0, 2);
    append_number(body, 1, 2);
    append_number(body, static_cast<uint32_t>(value.size()), 4);
    body += value;
    append_number(body, 0, 2);
    batch(client, message('B', body));
  }

  void end_copy(ClientEnd& client, uint8_t argument) {
    if ((argument & 3) == 0) return void(client.out += message('d', std::string(argument, 'x')));
    client.out += (argument & 3) == 1 ? message('f', std::string("no\0", 3)) : message('c', "");
    client.copying = false;
  }

  void leave(size_t number, uint8_t argument) {
    ClientEnd& client = clients_[number];
    if ((argument & 1) != 0) client.out += message('X', "");
    if ((argument & 2) != 0) client.end.send(client.out);
    client.end.close();
    connect(number);
  }

  void cancel(const ClientEnd& client) {
    if (client.key.empty() || jobs_.size() > 4) return;
    std::string packet;
    append_number(packet, static_cast<uint32_t>(8 + client.key.size()), 4);
    append_number(packet, 80877102, 4);
    packet += client.key;
    jobs_.push_back(dial());
    jobs_.back().send(packet);
  }

  void server_acts(uint8_t argument) {
    if (servers_.empty()) return;
    ServerEnd& server = *servers_[argument % servers_.size()];
    switch (argument >> 4) {
      case 0: server.end.send(server.postgres.out, argument & 15); break;
      case 1: server.postgres.out += message('N', std::string("SNOTICE\0\0", 9)); break;
      case 2: server.postgres.out += message('S', std::string("TimeZone\0x\0", 11)); break;
      case 3:
        disturbed_ = true;
        server.postgres.out += message('E', std::string("SFATAL\0VFATAL\0C57P01\0Mgone\0\0", 28));
        server.end.send(server.postgres.out);
        server.end.close();
        break;
      case 4:
        disturbed_ = true;
        server.end.close();
        break;
      default: server.end.send(server.postgres.out); break;
    }
  }

  void action() {
    if (input_.empty() || ++actions_ > kMostActions) return next(Act::kLastWords);
    const uint8_t what = input_.byte(), argument = input_.byte();
    const size_t number = (what >> 4) % kClients;
    ClientEnd& client = clients_[number];
    const uint8_t kind = what & 15;
    const bool talks = kind < 8 || kind == 14;
    if (talks && client.copying) return end_copy(client, argument);
    switch (kind) {
      case 0:
      case 1: query(client, text_for(argument, client)); break;
      case 2: parse(client, argument); break;
      case 3: bind(client, argument); break;
      case 4:
        batch(client, message((argument & 1) != 0 ? 'D' : 'C',
                              ((argument & 2) != 0 ? "S" : "P") + name_of(argument >> 2) + '\0'));
        break;
      case 5: execute(client, argument); break;
      case 6: sync(client); break;
      case 7: client.out += message('H', ""); break;
      case 8:
      case 9: server_acts(argument); break;
      case 10: leave(number, argument); break;
      case 11: cancel(client); break;
      case 12: client.held = (argument & 1) != 0; break;
      case 13: client.end.send(client.out, argument); break;
      case 14:
        if (raw_clients_)
          client.out += (argument & 1) != 0 ? input_.some(argument)
                                            : message(static_cast<char>(input_.byte()), input_.some(argument));
        break;
      default:
        if (!raw_servers_ || servers_.empty()) break;
        servers_[argument % servers_.size()]->postgres.out +=
            (argument & 1) != 0 ? input_.some(argument >> 1)
                                : message(static_cast<char>(input_.byte()), input_.some(argument >> 1));
        break;
    }
  }

  // Everyone ends what he has begun.
  void last_words() {
    slow_ = false;
    if (!honest_) return next(Act::kEnd), close_all();
    for (ClientEnd& client : clients_) {
      client.held = false;
      if (client.copying) end_copy(client, 1);
      sync(client);
      query(client, "ROLLBACK /*" + client.mark + "*/");
      query(client, "DISCARD ALL /*" + client.mark + "*/");
    }
    next(Act::kDrain);
  }

  // Where a server went away, or a mode forbids something, sessions may end before their time.
  void drain() {
    bool all = true;
    for (ClientEnd& client : clients_) {
      const bool may_end = disturbed_ || mode_ == PoolMode::kStatement;
      if (!client.end.is_open() && !may_end) found(client.mark + " was turned away");
      all = all && client.is_satisfied();
    }
    if (!all && Clock::now() > until_) stuck();
    if (!all) return;
    close_all();
    next(Act::kEnd);
  }

  [[noreturn]] void stuck() {
    std::string who;
    for (const ClientEnd& client : clients_) {
      who += " " + client.mark + (client.end.is_open() ? "" : " (closed)") + ": " + std::to_string(client.ready) +
             " of " + std::to_string(client.least_ready) + (client.greeted ? "" : " (not greeted)") +
             (client.out.empty() ? "" : " (not all sent)");
    }
    for (const auto& server : servers_) who += "; a server: " + server->postgres.describe();
    found("answers are missing;" + who);
  }

  void close_all() {
    for (ClientEnd& client : clients_) client.end.close();
    jobs_.clear();
  }

  // True when nothing is left of the play.
  bool end() {
    const bool gone = world_.counters.clients == 0;
    if (gone || !honest_) servers_.clear();
    if (Clock::now() > until_ + kPatience) {
      found(std::to_string(world_.counters.clients) + " sessions and " + std::to_string(world_.counters.servers) +
            " servers are left");
    }
    if (!gone || world_.counters.servers != 0) return false;
    const std::lock_guard lock(mutex_);
    is_done_ = true;
    done_.notify_one();
    return true;
  }

  Input input_;
  World& world_;
  PoolMode mode_ = PoolMode::kTransaction;
  bool slow_ = false, raw_clients_ = false, raw_servers_ = false, honest_ = true, disturbed_ = false;
  Act act_ = Act::kBegin;
  size_t actions_ = 0;
  Clock::time_point until_;
  std::string user_;
  ClientEnd clients_[kClients];
  unsigned generation_[kClients] = {};
  std::vector<End> jobs_;  // cancel requests
  std::vector<std::unique_ptr<ServerEnd>> servers_;
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Play(data, size, world()).run();
  return 0;
}

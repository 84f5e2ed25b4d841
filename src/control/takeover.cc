#include "control/takeover.h"

#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "pgwire/digest.h"

namespace pgb::control {
namespace {

using Json = nlohmann::json;
using os::FdChannel;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{10};
constexpr milliseconds kLookUp{200};  // how often a thread that waits looks whether it is to end
constexpr char kTake[] = "take", kServing[] = "serving", kClient[] = "client", kOrders[] = "orders";

Error strange(const std::string& what) {
  return Error(Code::kProtocol, "the process that runs did not hand over: " + what)
      .with("try", "stop it, and start this one without --take-over");
}

Json parsed(const FdChannel::Message& message) { return Json::parse(message.text, nullptr, false); }

template <class T>
T value(const Json& document, const char* key, T fallback) {
  if (!document.is_object() || !document.contains(key)) return fallback;
  try {
    return document[key].get<T>();
  } catch (const Json::exception&) {
    return fallback;
  }
}

proxy::Orders orders_of(const Json& document) {
  proxy::Orders orders;
  orders.paused = value(document, "paused", false);
  orders.paused_databases = value(document, "paused_databases", orders.paused_databases);
  orders.drained = value(document, "drained", orders.drained);
  return orders;
}

Json to_json(const char* what, const proxy::Orders& orders) {
  return {{what, true},
          {"paused", orders.paused},
          {"paused_databases", orders.paused_databases},
          {"drained", orders.drained}};
}

// Names are as users wrote them, in whatever encoding.
std::string text_of(const Json& message) { return message.dump(-1, ' ', false, Json::error_handler_t::replace); }

Status check_peer(const FdChannel& channel, std::optional<uint32_t> user) {
  const auto peer = channel.peer();
  if (!peer) return peer.error();
  if (*peer == 0 || *peer == ::geteuid() || (user && *peer == *user)) return Status();
  return Error(Code::kAuth, "whoever is at the takeover_socket runs as user " + std::to_string(*peer))
      .with("try", "name a path in a folder that nobody else may write to");
}

}  // namespace

Result<std::unique_ptr<Predecessor>> Predecessor::find(const std::string& path, std::optional<uint32_t> user) {
  auto channel = FdChannel::connect(path);
  if (!channel && channel.error().code == Code::kUnreachable) return std::unique_ptr<Predecessor>();
  if (!channel) return std::move(channel).error();
  PGB_TRY(check_peer(*channel, user));
  std::unique_ptr<Predecessor> found(new Predecessor(std::move(*channel)));
  PGB_TRY(found->read_offer());
  return found;
}

Predecessor::~Predecessor() {
  channel_.shut_down();
  if (watch_.joinable()) watch_.join();
}

Status Predecessor::read_offer() {
  auto message = channel_.receive(Deadline::after(kPatience));
  if (!message) return std::move(message).error();
  const Json offer = parsed(*message);
  const auto count = value<size_t>(offer, "offer", 0);
  const bool with_rest = value(offer, "with_rest", false);
  if (count == 0 || message->fds.size() != count + (with_rest ? 1 : 0)) return strange("its offer is not understood");
  postgres_.address = value<std::string>(offer, "address", "");
  postgres_.port = value<uint16_t>(offer, "port", 0);
  rest_.address = value<std::string>(offer, "rest_address", "");
  rest_.port = value<uint16_t>(offer, "rest_port", 0);
  for (size_t i = 0; i < count; ++i) postgres_.fds.push_back(std::move(message->fds[i]));
  if (with_rest) rest_.fds.push_back(std::move(message->fds[count]));
  return Status();
}

std::vector<os::UniqueFd> Predecessor::pick(Offered& offered, const std::string& address, uint16_t port) {
  std::vector<os::UniqueFd> fds = std::move(offered.fds);
  offered.fds.clear();
  if (offered.address == address && (port == 0 || port == offered.port)) return fds;
  return {};
}

std::vector<os::UniqueFd> Predecessor::postgres_listeners(const std::string& address, uint16_t port) {
  return pick(postgres_, address, port);
}

os::UniqueFd Predecessor::rest_listener(const std::string& address, uint16_t port) {
  std::vector<os::UniqueFd> fds = pick(rest_, address, port);
  return fds.empty() ? os::UniqueFd() : std::move(fds[0]);
}

Result<Predecessor::Inheritance> Predecessor::take() {
  PGB_TRY(channel_.send(kTake));
  const auto answer = channel_.receive(Deadline::after(kPatience));
  if (!answer) return answer.error();
  const Json document = parsed(*answer);
  if (!value(document, "yours", false)) return strange("it does not let go of its sockets");
  const auto key = pgwire::from_base64(value<std::string>(document, "token_key", ""));
  return Inheritance{orders_of(document), Secret(key.value_or(""))};
}

Status Predecessor::serving(proxy::Proxy& proxy) {
  PGB_TRY(channel_.send(kServing));
  told_ = &proxy;
  proxy.set_cancel_elsewhere([this](os::UniqueFd end) { return channel_.send(kClient, {end.get()}).ok(); });
  proxy.set_orders_elsewhere([this](const proxy::Orders& orders) {
    const Status told = channel_.send(text_of(to_json(kOrders, orders)));
    if (!told.ok()) log::warn("the process that ran before was not told what is ordered: " + told.error().message);
  });
  watch_ = std::thread([this] {
    while (channel_.receive(Deadline::never())) {
    }
    told_->set_cancel_elsewhere(nullptr);
    told_->set_orders_elsewhere(nullptr);
    told_->outlived();
    ended_ = true;
    log::info("the process that ran before has ended");
  });
  return Status();
}

Result<std::unique_ptr<Handover>> Handover::start(const std::string& path, std::optional<uint32_t> owner, Offer offer,
                                                  proxy::Proxy& proxy, std::function<void()> on_done) {
  auto listener = FdChannel::listen(path, owner);
  if (!listener) return std::move(listener).error();
  return std::unique_ptr<Handover>(
      new Handover(path, std::move(*listener), std::move(offer), proxy, std::move(on_done)));
}

Handover::Handover(std::string path, os::UniqueFd listener, Offer offer, proxy::Proxy& proxy,
                   std::function<void()> on_done)
    : path_(std::move(path)),
      listener_(std::move(listener)),
      offer_(std::move(offer)),
      proxy_(proxy),
      on_done_(std::move(on_done)) {
  thread_ = std::thread([this] { run(); });
}

Handover::~Handover() {
  stopping_ = true;
  thread_.join();
  if (!handed_over_) ::unlink(path_.c_str());
}

void Handover::run() {
  while (!stopping_) {
    auto channel = FdChannel::accept(listener_.get(), Deadline::after(kLookUp));
    if (!channel) continue;
    const Status done = hand_over(*channel);
    if (!done.ok()) {
      proxy_.keep_orders();
      proxy_.accept(true);
      log::warn("another process has not taken over: " + done.error().message);
      continue;
    }
    handed_over_ = true;
    listener_.reset();
    proxy_.hand_over();
    on_done_();
    return serve_successor(*channel);
  }
}

Status Handover::hand_over(const FdChannel& channel) {
  PGB_TRY(check_peer(channel, std::nullopt));
  PGB_TRY(give(channel));
  auto answer = channel.receive(Deadline::after(kPatience));
  if (!answer) return std::move(answer).error();
  if (answer->text != kTake) return strange("it does not take what it was offered");
  proxy_.accept(false);
  Json yours = to_json("yours", *proxy_.give_orders());
  yours["token_key"] = pgwire::base64(offer_.token_key.reveal());  // it goes to who we are, or to root, and to no file
  PGB_TRY(channel.send(text_of(yours)));
  answer = channel.receive(Deadline::after(kPatience));
  if (!answer) return std::move(answer).error();
  return answer->text == kServing ? Status() : Status(strange("it does not serve"));
}

Status Handover::give(const FdChannel& channel) {
  std::vector<int> fds = proxy_.listeners();
  const Json offer = {{"offer", fds.size()},           {"address", offer_.address},
                      {"port", offer_.port},           {"rest_address", offer_.rest_address},
                      {"rest_port", offer_.rest_port}, {"with_rest", offer_.rest_listener >= 0}};
  if (offer_.rest_listener >= 0) fds.push_back(offer_.rest_listener);
  return channel.send(offer.dump(), fds);
}

void Handover::serve_successor(const FdChannel& channel) {
  while (!stopping_) {
    auto message = channel.receive(Deadline::after(kLookUp));
    if (!message && message.error().code == Code::kTimeout) continue;
    if (!message) return;
    if (const Json told = parsed(*message); value(told, kOrders, false)) proxy_.obey(orders_of(told));
    for (os::UniqueFd& client : message->fds) proxy_.adopt_client(std::move(client));
  }
}

}  // namespace pgb::control

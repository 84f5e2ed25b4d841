#include "control/pcp_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/deadline.h"
#include "base/log.h"
#include "net/socket.h"

namespace pgb::control {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMostClients = 16;
constexpr milliseconds kLogin{10'000};  // from the connection to the right password
constexpr milliseconds kIdle{60'000};   // between two commands
constexpr milliseconds kSend{10'000};
constexpr milliseconds kAfterWrong{1'000};  // before a wrong password is answered: who guesses has to wait
constexpr milliseconds kNoDescriptors{100};

}  // namespace

Result<std::unique_ptr<PcpServer>> PcpServer::start(const std::string& address, uint16_t port, MakeTalk make_talk) {
  auto where = net::Address::parse(address, port);
  if (!where) return std::move(where).error().in("pcp_address");
  if (port != 0) PGB_TRY(net::check_port_free(*where));
  auto listener = net::listen_on(*where);
  if (!listener) return std::move(listener).error();
  const uint16_t taken = net::Address::local_of(listener->get()).port();
  return std::unique_ptr<PcpServer>(new PcpServer(std::move(*listener), taken, std::move(make_talk)));
}

PcpServer::PcpServer(os::UniqueFd listener, uint16_t port, MakeTalk make_talk)
    : listener_(std::move(listener)),
      port_(port),
      make_talk_(std::move(make_talk)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      workers_(kMostClients),
      accepting_([this] { accept_clients(); }) {}

PcpServer::~PcpServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  accepting_.join();
  workers_.stop();
}

// False when the time is over or the server stops.
bool PcpServer::wait_for(int fd, short events, milliseconds limit) const {
  pollfd waiting[2] = {{fd, events, 0}, {wake_.get(), POLLIN, 0}};
  const Deadline deadline = Deadline::after(limit);
  for (;;) {
    const int count = ::poll(waiting, 2, deadline.poll_ms());
    if (count < 0 && errno == EINTR) continue;
    return count > 0 && waiting[1].revents == 0;
  }
}

void PcpServer::accept_clients() {
  constexpr milliseconds kLongTime{3'600'000};
  for (;;) {
    if (!wait_for(listener_.get(), POLLIN, kLongTime)) {
      pollfd stop = {wake_.get(), POLLIN, 0};
      if (::poll(&stop, 1, 0) > 0) return;
      continue;
    }
    os::UniqueFd client = net::accept_one(listener_.get());
    if (!client) {
      if (net::accept_exhausted()) std::this_thread::sleep_for(kNoDescriptors);
      continue;
    }
    const auto shared = std::make_shared<os::UniqueFd>(std::move(client));  // a copy of the work must be possible
    if (!workers_.run([this, shared] { serve(shared->get()); })) log::warn("PCP: too many connections at once");
  }
}

bool PcpServer::send(int fd, std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLOUT, kSend))) {
      return false;
    }
  }
  return true;
}

std::string PcpServer::answer(PcpTalk& talk, const PcpPacket& packet, const std::string& peer) {
  if (packet.kind != PcpTalk::kLogin) return talk.answer(packet);
  const auto wait = limit_.attempt(peer, std::chrono::steady_clock::now());
  if (wait.count() > 0) {
    log::info("PCP: a login from " + peer + " was not looked at: too many have failed");
    return talk.refuse_login(wait);
  }
  std::string out = talk.answer(packet);
  if (!talk.user().empty()) limit_.good(peer);
  if (talk.refused()) {
    log::info("PCP: a login from " + peer + " failed");
    wait_for(-1, 0, kAfterWrong);
  }
  return out;
}

void PcpServer::serve(int client) {
  const std::string peer = net::Address::peer_of(client).host();
  PcpTalk talk = make_talk_();
  PcpFramer framer;
  std::array<char, 4096> buffer;
  const Deadline login = Deadline::after(kLogin);
  while (!talk.ended() && !framer.broken()) {
    const auto packet = framer.next();
    if (packet) {
      if (!send(client, answer(talk, *packet, peer))) return;
      continue;
    }
    if (framer.broken()) return;
    if (talk.user().empty() && login.expired()) return;
    if (!wait_for(client, POLLIN, talk.user().empty() ? kLogin : kIdle)) return;
    const ssize_t got = ::recv(client, buffer.data(), buffer.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (got > 0) framer.feed(std::string_view(buffer.data(), static_cast<size_t>(got)));
  }
}

}  // namespace pgb::control

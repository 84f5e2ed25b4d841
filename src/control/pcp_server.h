// The PCP port: pgpool-II's pcp_* commands against this balancer. Blocking, a thread for each of at most 16
// connections: it costs the threads that serve clients nothing. Passwords may be tried as often as REST lets them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/result.h"
#include "control/login_limit.h"
#include "control/pcp_talk.h"
#include "control/workers.h"
#include "os/unique_fd.h"

namespace pgb::control {

class PcpServer {
 public:
  // A talk for each connection.
  using MakeTalk = std::function<PcpTalk()>;
  // Listens and serves. Port 0 takes a free one. kConfig (address), kPortInUse, kIo.
  static Result<std::unique_ptr<PcpServer>> start(const std::string& address, uint16_t port, MakeTalk make_talk);
  ~PcpServer();  // waits for commands under way; ask proxy::Proxy::end_waits() before
  uint16_t port() const { return port_; }

 private:
  PcpServer(os::UniqueFd listener, uint16_t port, MakeTalk make_talk);
  void accept_clients();
  void serve(int client);
  bool wait_for(int fd, short events, std::chrono::milliseconds limit) const;
  bool send(int fd, std::string_view bytes) const;
  std::string answer(PcpTalk& talk, const PcpPacket& packet, const std::string& peer);

  const os::UniqueFd listener_;
  const uint16_t port_;
  const MakeTalk make_talk_;
  os::UniqueFd wake_;  // readable once it is to stop
  LoginLimit limit_;
  Workers workers_;
  std::thread accepting_;
};

}  // namespace pgb::control

// Carries one cancel request to a server and waits until the server has dealt with it, which it tells by closing the
// connection. Source: PostgreSQL documentation, "Canceling Requests in Progress".
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "net/socket.h"
#include "pgwire/startup.h"
#include "proxy/link.h"
#include "proxy/reactor_context.h"
#include "proxy/tls_upgrade.h"

namespace pgb::proxy {

class CancelJob final : public net::Pollable {
 public:
  // `on_end` is called once, on the loop's thread and never from inside start(); the job may be destroyed in it.
  CancelJob(ReactorContext& context, std::function<void()> on_end) : context_(context), on_end_(std::move(on_end)) {}
  ~CancelJob() { close(); }
  CancelJob(const CancelJob&) = delete;
  CancelJob& operator=(const CancelJob&) = delete;

  // `tls`, `tls_host`: as the connection has it whose query is to be cancelled.
  void start(const net::Address& address, uint32_t pid, const std::string& key, const net::TlsToServer& tls,
             const std::string& tls_host) {
    address_ = address;
    upgrade_.emplace(tls, tls_host);
    pgwire::encode(packet_, pgwire::CancelRequest{pid, key});
    auto fd = net::start_connect(address);
    timer_ = context_.loop.after(fd.ok() ? kTimeout : std::chrono::milliseconds(0), [this] {
      timer_ = 0;
      end();
    });
    if (!fd.ok()) return;
    link_.stream = net::plain_stream(std::move(*fd));
    link_.watch(context_.loop, *this, EPOLLOUT);
  }

  // To another process of ours, through a connected socket.
  void start(os::UniqueFd fd, uint32_t pid, const std::string& key) {
    connected_ = true;
    upgrade_.emplace(net::TlsToServer(), "");
    pgwire::encode(packet_, pgwire::CancelRequest{pid, key});
    timer_ = context_.loop.after(kTimeout, [this] {
      timer_ = 0;
      end();
    });
    link_.stream = net::plain_stream(std::move(fd));
    link_.watch(context_.loop, *this, EPOLLOUT);
  }

  void on_events(uint32_t) override {
    if (!packet_.empty()) {
      if (!std::exchange(connected_, true) && !net::connect_result(link_.stream->fd(), address_).ok()) return end();
      const TlsUpgrade::Step step = upgrade_->step(link_, context_.loop, *this);
      if (step == TlsUpgrade::Step::kWait) return;
      if (step != TlsUpgrade::Step::kDone) return end();
      const net::IoResult sent = link_.stream->write(packet_);
      if (sent.kind != net::IoResult::Kind::kDone || sent.count != packet_.size()) return end();
      packet_.clear();
      return link_.watch(context_.loop, *this, EPOLLIN);
    }
    char byte = 0;
    if (link_.stream->read(&byte, 1).kind != net::IoResult::Kind::kWait) end();
  }

 private:
  static constexpr std::chrono::milliseconds kTimeout{5000};

  void close() {
    context_.loop.cancel(timer_);
    timer_ = 0;
    link_.close();
  }
  void end() {
    close();
    if (on_end_) std::exchange(on_end_, nullptr)();
  }

  ReactorContext& context_;
  std::function<void()> on_end_;
  net::Address address_;
  Link link_;
  bool connected_ = false;
  std::optional<TlsUpgrade> upgrade_;
  std::string packet_;  // not sent yet
  net::EventLoop::Timer timer_ = 0;
};

}  // namespace pgb::proxy

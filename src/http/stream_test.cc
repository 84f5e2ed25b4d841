#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "http/test_peers.h"

namespace pgb::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// An answer of the numbers from 1 to `last`, and then silence if `open`.
Response counting(int last, bool open) {
  Response response;
  response.body = "0 ";
  response.more = [last, open, next = 1]() mutable -> std::optional<std::string> {
    if (next <= last) return std::to_string(next++) + " ";
    if (!open) return std::nullopt;
    std::this_thread::sleep_for(milliseconds(10));
    return "";
  };
  return response;
}

TEST(HttpStreamedAnswer, ComesInPiecesAndHasAnEnd) {
  auto server = serve([](const Request&) { return counting(3, false); });
  auto response = call(tcp(server->port()), {}, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "0 1 2 3 ");
}

TEST(HttpStreamedAnswer, APieceArrivesBeforeTheNextIsThere) {
  auto server = serve([](const Request&) { return counting(0, true); });
  std::string seen;
  auto response = stream(tcp(server->port()), {}, soon(), [&](std::string_view piece) {
    seen += piece;
    return false;
  });
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(seen, "0 ");
}

TEST(HttpStreamedAnswer, IsNotMadeForAPeerThatIsGone) {
  std::atomic<bool> ended{false};
  struct AtEnd {
    explicit AtEnd(std::atomic<bool>& flag) : flag_(flag) {}
    ~AtEnd() { flag_ = true; }
    std::atomic<bool>& flag_;
  };
  auto server = serve([&](const Request&) {
    Response response = counting(0, true);
    response.more = [inner = response.more, mark = std::make_shared<AtEnd>(ended)] { return inner(); };
    return response;
  });
  ASSERT_TRUE(stream(tcp(server->port()), {}, soon(), [](std::string_view) { return false; }).ok());
  const Deadline limit = soon();
  while (!ended && !limit.expired()) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_TRUE(ended);
}

TEST(HttpStreamedAnswer, EndsWithTheServer) {
  auto server = serve([](const Request&) { return counting(0, true); });
  std::atomic<bool> began{false};
  std::thread reader(
      [&] { (void)stream(tcp(server->port()), {}, soon(), [&](std::string_view) { return began = true; }).ok(); });
  const Deadline limit = soon();
  while (!began && !limit.expired()) std::this_thread::sleep_for(milliseconds(5));
  const auto before = std::chrono::steady_clock::now();
  server.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(2));
  reader.join();
}

TEST(HttpCall, IsEndedByACanceller) {
  Canned silent({});
  Canceller canceller;
  bool sent = false;
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(50));
    canceller.cancel();
  });
  auto response = call(silent.endpoint(), {}, soon(), {&canceller, &sent});
  other.join();
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kInterrupted) << response.error().message;
  EXPECT_TRUE(sent);
  auto again = call(silent.endpoint(), {}, soon(), {&canceller, &sent});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Code::kInterrupted);
  EXPECT_FALSE(sent);
}

TEST(HttpCall, TellsThatNothingWasSentToARefusingPort) {
  uint16_t free_port = serve(echo)->port();
  bool sent = true;
  auto response = call(tcp(free_port), {}, soon(), {nullptr, &sent});
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnreachable);
  EXPECT_FALSE(sent);
}

TEST(HttpServer, TakesAsManyConnectionsAsItIsTold) {
  auto server = Server::start(
      "127.0.0.1", 0, [](const Request&) { return counting(0, true); }, 1);
  ASSERT_TRUE(server.ok()) << server.error().message;
  int status = 0;
  auto first = stream(tcp((*server)->port()), {}, soon(), [&](std::string_view) {
    auto second = call(tcp((*server)->port()), {}, soon());
    if (second.ok()) status = second->status;
    return false;
  });
  EXPECT_TRUE(first.ok());
  EXPECT_EQ(status, 503);
}

}  // namespace
}  // namespace pgb::http

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "http/connection.h"
#include "http/test_peers.h"

namespace pgb::http {
namespace {

using std::chrono::seconds;

TEST(HttpRoundTrip, CarriesMethodTargetHeadersAndBody) {
  auto server = serve(echo);
  Request request;
  request.method = "PUT";
  request.target = "/a/b?c=d%20e";
  request.headers["x-asked"] = "yes";
  request.body = std::string("zero\0byte", 9) + std::string(200000, 'x');
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->headers.at("x-method"), "PUT");
  EXPECT_EQ(response->headers.at("x-target"), "/a/b?c=d%20e");
  EXPECT_EQ(response->headers.at("x-asked"), "yes");
  EXPECT_EQ(response->body, request.body);
}

TEST(HttpRoundTrip, AnAnswerOfAnyStatusIsASuccess) {
  auto server = serve([](const Request&) { return problem(404, "there is no \"x\""); });
  auto response = call(tcp(server->port()), {}, soon());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->body,
            "{\"type\":\"PGB-NOT-FOUND\",\"title\":\"there is no such thing\",\"status\":404,\"detail\":\"there is no "
            "\\\"x\\\"\"}\n");
}

TEST(HttpProblem, IsOfTheKindThatItsStatusOrItsErrorSays) {
  const auto begins = [](const Response& answer) { return answer.body.substr(0, answer.body.find(",\"status\"")); };
  EXPECT_EQ(begins(problem(413, "text")), R"({"type":"PGB-TOO-LARGE","title":"the request is larger than is taken")");
  EXPECT_EQ(begins(problem(409, "text")), R"({"type":"PGB-CONFLICT","title":"it cannot be done as things are")");
  EXPECT_EQ(begins(problem(409, Code::kBusy, "text")),
            R"({"type":"PGB-BUSY","title":"another command is at work on this cluster")");
  for (const int status : {400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 431, 503, 504}) {
    const std::string body = problem(status, "text").body;
    EXPECT_EQ(body.find("command"), std::string::npos) << body;
    EXPECT_EQ(body.find("cluster file"), std::string::npos) << body;
    EXPECT_EQ(body.find("PGB-INTERNAL"), std::string::npos) << body;
  }
}

TEST(HttpRoundTrip, HeadHasNoBody) {
  auto server = serve([](const Request&) { return problem(200, "text"); });
  Request request;
  request.method = "HEAD";
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "");
  EXPECT_NE(response->headers.at("content-length"), "0");
}

TEST(HttpRoundTrip, ManyClientsAtOnce) {
  auto server = serve(echo);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      Request request;
      request.method = "POST";
      request.body = std::to_string(i);
      auto response = call(tcp(server->port()), request, soon());
      if (response.ok() && response->body == request.body) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 16);
}

TEST(HttpServer, AnExceptionBecomesA500AndTheServerLivesOn) {
  auto server = serve([](const Request& request) -> Response {
    if (request.target == "/bad") throw std::runtime_error("secret detail");
    return {};
  });
  Request bad;
  bad.target = "/bad";
  auto response = call(tcp(server->port()), bad, soon());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 500);
  EXPECT_EQ(response->body.find("secret"), std::string::npos);
  EXPECT_EQ(call(tcp(server->port()), {}, soon()).value().status, 200);
}

TEST(HttpServer, AHeaderWithALineBreakIsNotSent) {
  auto server = serve([](const Request&) {
    Response response;
    response.headers["x"] = "a\r\nset-cookie: b";
    return response;
  });
  auto response = call(tcp(server->port()), {}, soon());
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 500);
  EXPECT_EQ(response->headers.count("set-cookie"), 0u);
}

TEST(HttpServer, KeepsTheConnectionAndServesPipelinedRequests) {
  auto server = serve(echo);
  Raw peer(server->port());
  peer.say("POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\noneGET /2 HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_NE(peer.hear("/2").find("one"), std::string::npos);
  peer.say("GET /3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_NE(peer.hear().find("/3"), std::string::npos);
}

TEST(HttpServer, ReadsChunkedBodies) {
  auto server = serve(echo);
  Raw peer(server->port());
  peer.say("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
  peer.say("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  std::string answer = peer.hear();
  EXPECT_NE(answer.find("\r\n\r\nabcdefg"), std::string::npos) << answer;
}

// What no limit on header or body counts may not grow for ever either.
TEST(HttpServer, RefusesChunkExtensionsAndTrailersWithoutEnd) {
  auto server = serve(echo);
  for (const char* begin : {"1;", "0\r\nx: "}) {
    Raw peer(server->port());
    peer.say("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    peer.say(begin + std::string(200'000, 'a'));
    EXPECT_EQ(peer.hear().substr(0, 12), "HTTP/1.1 431") << begin;
  }
}

TEST(HttpServer, AnswersExpectContinue) {
  auto server = serve(echo);
  Raw peer(server->port());
  peer.say("PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  EXPECT_EQ(peer.hear("\r\n\r\n").substr(0, 12), "HTTP/1.1 100");
  peer.say("ok");
  EXPECT_NE(peer.hear().find("\r\n\r\nok"), std::string::npos);
}

TEST(HttpServer, RefusesAnOversizedHeader) {
  auto server = serve(echo);
  Request request;
  request.headers["x-long"] = std::string(20000, 'h');
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 431);
}

TEST(HttpServer, RefusesAnOversizedBody) {
  std::atomic<int> handled{0};
  auto server = serve([&](const Request& request) { return ++handled, echo(request); });
  Request request;
  request.method = "POST";
  request.body = std::string((1u << 20) + 1, 'b');
  auto response = call(tcp(server->port()), request, soon());
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(handled, 0);
  Raw peer(server->port());  // chunked, so that the length is not known beforehand
  peer.say("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) peer.say("10000\r\n" + std::string(0x10000, 'c') + "\r\n");
  EXPECT_NE(peer.hear().find("HTTP/1.1 413"), std::string::npos);
  EXPECT_EQ(handled, 0);
  request.body.pop_back();
  EXPECT_EQ(call(tcp(server->port()), request, soon()).value().status, 200);
}

TEST(HttpServer, AnswersGarbageWith400AndLivesOn) {
  auto server = serve(echo);
  for (const char* garbage : {"\x16\x03\x01\x02 TLS hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                              "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"}) {
    Raw peer(server->port());
    peer.say(garbage);
    EXPECT_EQ(peer.hear().substr(0, 12), "HTTP/1.1 400") << garbage;
  }
  EXPECT_EQ(call(tcp(server->port()), {}, soon()).value().status, 200);
}

TEST(HttpServer, TurnsAwayMoreThan64Connections) {
  auto server = serve(echo);
  std::vector<std::unique_ptr<Raw>> peers;
  for (int i = 0; i < 64; ++i) {
    peers.push_back(std::make_unique<Raw>(server->port()));
    peers.back()->say("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT");  // and is about to ask again
    ASSERT_EQ(peers.back()->hear("\r\n\r\n").substr(0, 12), "HTTP/1.1 200");
  }
  Raw late(server->port());
  EXPECT_EQ(late.hear().substr(0, 12), "HTTP/1.1 503");
  peers.clear();
  Deadline limit = soon();
  int status = 0;
  while (status != 200 && !limit.expired()) {
    auto response = call(tcp(server->port()), {}, soon());
    if (response.ok()) status = response->status;
  }
  EXPECT_EQ(status, 200);  // those that left make room
}

// As browsers and scrapers leave them.
TEST(HttpServer, ConnectionsThatHaveTheirAnswerKeepNobodyOut) {
  auto server = serve(echo);
  std::vector<std::unique_ptr<Raw>> polite;
  for (int i = 0; i < 64; ++i) {
    polite.push_back(std::make_unique<Raw>(server->port()));
    polite.back()->say("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_NE(polite.back()->hear("\r\n\r\n").find("200"), std::string::npos);
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(call(tcp(server->port()), {}, soon()).value().status, 200) << i;
  // Who was there last is still there.
  polite.back()->say("GET /again HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_NE(polite.back()->hear().find("/again"), std::string::npos);
}

// A lease is renewed on such a connection.
TEST(HttpServer, StrangersEndNoConnectionOfWhoIsKnown) {
  for (const char* stranger : {"", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"}) {
    auto server = Server::start(
        "127.0.0.1", 0,
        [](const Request& request) {
          Response response = echo(request);
          response.known = has_bearer(request, "secret");
          return response;
        },
        4);
    ASSERT_TRUE(server.ok());
    Raw friendly((*server)->port());
    friendly.say("GET /1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n\r\n");
    ASSERT_NE(friendly.hear("\r\n\r\n").find("200"), std::string::npos);
    std::vector<std::unique_ptr<Raw>> strangers;
    for (int i = 0; i < 30; ++i) {
      strangers.push_back(std::make_unique<Raw>((*server)->port()));
      strangers.back()->say(stranger);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));  // all of them are late by and by
    }
    friendly.say("GET /again HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    EXPECT_NE(friendly.hear().find("/again"), std::string::npos) << stranger;
  }
}

// But they keep nobody out, either.
TEST(HttpServer, WhoIsKnownMakesRoomIfNobodyElseIsThere) {
  auto server = Server::start(
      "127.0.0.1", 0,
      [](const Request& request) {
        Response response = echo(request);
        response.known = true;
        return response;
      },
      2);
  ASSERT_TRUE(server.ok());
  std::vector<std::unique_ptr<Raw>> polite;
  for (int i = 0; i < 6; ++i) {
    polite.push_back(std::make_unique<Raw>((*server)->port()));
    polite.back()->say("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_NE(polite.back()->hear("\r\n\r\n").find("200"), std::string::npos) << i;
  }
}

TEST(HttpServer, WhoHasBegunToAskIsNotSentAwayAtOnce) {
  auto server = Server::start("127.0.0.1", 0, echo, 1);
  ASSERT_TRUE(server.ok());
  Raw busy((*server)->port());
  busy.say("GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HT");
  busy.hear("/1");
  EXPECT_EQ(call(tcp((*server)->port()), {}, soon()).value().status, 503);
  busy.say("TP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_NE(busy.hear().find("/2"), std::string::npos);
}

TEST(HttpServer, WhoIsSentAwayIsNotServedAndWhoIsServedIsNotSentAway) {
  Waiting waiting;
  ASSERT_TRUE(waiting.note(7));
  EXPECT_FALSE(waiting.send_away(6)) << "it has been at work in between";
  EXPECT_TRUE(waiting.note(Waiting::kWorks));
  EXPECT_FALSE(waiting.since());
  EXPECT_FALSE(waiting.send_away(7)) << "its request has come";
  EXPECT_TRUE(waiting.note(8));
  EXPECT_TRUE(waiting.send_away(8));
  EXPECT_FALSE(waiting.note(Waiting::kWorks)) << "the request that came too late is not carried out";
  EXPECT_FALSE(waiting.note(9));
}

// Newcomers push it out again and again, but never between what it asks for and the answer.
TEST(HttpServer, WhateverIsCarriedOutIsAnswered) {
  std::atomic<int> carried_out{0}, came_in{0};
  auto server = Server::start(
      "127.0.0.1", 0,
      [&](const Request& request) {
        if (request.target == "/count") ++carried_out;
        return echo(request);
      },
      1);
  ASSERT_TRUE(server.ok());
  std::atomic<bool> done{false};
  std::thread newcomers([&] {
    while (!done) {
      const auto response = call(tcp((*server)->port()), {}, soon());
      if (response.ok() && response->status == 200) ++came_in;
    }
  });
  int answered = 0;
  for (int round = 0; round < 200; ++round) {
    Raw polite((*server)->port());
    polite.say("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    if (polite.hear("\r\n\r\n").find(" 200 ") == std::string::npos) continue;
    polite.say("GET /count HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    if (polite.hear().find("/count") != std::string::npos) ++answered;
  }
  done = true;
  newcomers.join();
  EXPECT_EQ(carried_out, answered);
  EXPECT_GT(came_in, 0) << "nobody was pushed out";
}

TEST(HttpServer, AListenerWaitsWithItsClientsUntilItIsServed) {
  auto listener = Server::listen("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok()) << listener.error().message;
  sockaddr_in name = {};
  socklen_t size = sizeof name;
  ASSERT_EQ(::getsockname(*listener, reinterpret_cast<sockaddr*>(&name), &size), 0);
  Raw early(ntohs(name.sin_port));
  early.say("GET /early HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  auto server = Server::start(*listener, echo);
  ASSERT_TRUE(server.ok()) << server.error().message;
  EXPECT_NE(early.hear().find("/early"), std::string::npos);
}

TEST(HttpServer, EndsAtOnceWithIdleConnections) {
  auto server = serve(echo);
  Raw silent(server->port()), half(server->port()), idle(server->port());
  half.say("GET / HT");
  idle.say("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  idle.hear("\r\n\r\n");
  auto before = Deadline::Clock::now();
  server.reset();
  EXPECT_LT(Deadline::Clock::now() - before, seconds(2));
}

TEST(HttpServer, ARunningHandlerMayAnswerWhenTheServerEnds) {
  std::mutex mutex;
  std::condition_variable changed;
  bool running = false, go_on = false;
  auto server = serve([&](const Request&) {
    std::unique_lock lock(mutex);
    running = true;
    changed.notify_all();
    changed.wait(lock, [&] { return go_on; });
    return problem(200, "late");
  });
  Result<Response> response = Error();
  std::thread client([&, port = server->port()] { response = call(tcp(port), {}, soon()); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return running; });
  }
  std::thread ender([&] { server.reset(); });
  {
    std::lock_guard lock(mutex);
    go_on = true;
  }
  changed.notify_all();
  ender.join();
  client.join();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_NE(response->body.find("late"), std::string::npos);
}

TEST(HttpServer, TellsWhenThePortIsTaken) {
  auto server = serve(echo);
  auto second = Server::start("127.0.0.1", server->port(), echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kPortInUse);
  EXPECT_FALSE(Server::start("not an address", 0, echo).ok());
  EXPECT_EQ(Server::start("192.0.2.1", 0, echo).error().code, Code::kIo);
}

TEST(HttpServer, HasBearerWantsTheWholeToken) {
  Request request;
  EXPECT_FALSE(has_bearer(request, "t0ken"));
  request.headers["authorization"] = "Bearer t0ken";
  EXPECT_TRUE(has_bearer(request, "t0ken"));
  EXPECT_FALSE(has_bearer(request, "t0ke"));
  EXPECT_FALSE(has_bearer(request, "t0kenn"));
  request.headers["authorization"] = "Basic t0ken";
  EXPECT_FALSE(has_bearer(request, "t0ken"));
  request.headers["authorization"] = "Bearer ";
  EXPECT_FALSE(has_bearer(request, ""));  // no token set: nobody gets in
}

}  // namespace
}  // namespace pgb::http

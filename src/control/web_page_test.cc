#include "control/web_page.h"

#include <gtest/gtest.h>

#include "web/page_files.h"

namespace pgb::control {
namespace {

http::Response ask(const std::string& path, Role role, std::map<std::string, std::string> headers = {},
                   const std::string& method = "GET") {
  const WebPage page([] { return std::string("a <b> is up\n"); });
  http::Request request;
  request.method = method;
  request.target = path;
  request.headers = std::move(headers);
  return page.answer(request, path, role);
}

TEST(WebPageTest, IsForEverybodyAndHoldsTheTextForViewers) {
  const auto stranger = ask("/", Role::kNobody), viewer = ask("/", Role::kViewer);
  EXPECT_EQ(stranger.status, 200);
  EXPECT_EQ(stranger.body.find("is up"), std::string::npos);
  EXPECT_NE(viewer.body.find("a &lt;b&gt; is up"), std::string::npos) << viewer.body;
}

TEST(WebPageTest, TextIsForViewers) {
  const std::map<std::string, std::string> text = {{"accept", "text/plain"}};
  EXPECT_EQ(ask("/", Role::kNobody, text).status, 401);
  EXPECT_EQ(ask("/", Role::kViewer, text).body, "a <b> is up\n");
  EXPECT_NE(ask("/", Role::kViewer, {{"accept", "text/html,text/plain"}}).body.find("<!doctype"), std::string::npos);
}

TEST(WebPageTest, EveryFileIsProtectedPackedAndKnownAgain) {
  ASSERT_GE(web::page_files().size(), 5u);
  for (const web::PageFile& file : web::page_files()) {
    if (file.name == "index.html") continue;
    const std::string path = "/ui/" + std::string(file.name);
    const auto plain = ask(path, Role::kNobody), packed = ask(path, Role::kNobody, {{"accept-encoding", "gzip, br"}});
    EXPECT_EQ(plain.status, 200) << path;
    EXPECT_EQ(plain.body, file.plain);
    EXPECT_EQ(plain.headers.at("content-security-policy").find("default-src 'self';"), 0u);
    EXPECT_EQ(packed.headers.at("content-encoding"), "gzip");
    EXPECT_LT(packed.body.size(), plain.body.size()) << path;
    EXPECT_EQ(packed.body.substr(0, 2), "\x1f\x8b");
    EXPECT_EQ(ask(path, Role::kNobody, {{"if-none-match", plain.headers.at("etag")}}).status, 304);
    EXPECT_EQ(ask(path, Role::kNobody, {{"if-none-match", "\"other\""}}).status, 200);
  }
}

TEST(WebPageTest, HoldsNothingInlineAndNothingFromElsewhere) {
  for (const web::PageFile& file : web::page_files()) {
    if (file.name != "index.html") continue;
    EXPECT_EQ(file.plain.find("<script>"), std::string::npos);
    EXPECT_EQ(file.plain.find(" style="), std::string::npos);
    EXPECT_EQ(file.plain.find("//"), std::string::npos) << "an address";
  }
}

TEST(WebPageTest, OtherPathsAndMethodsAreRefused) {
  for (const char* path : {"/ui/", "/ui/nothing.js", "/ui/../app.js", "/ui/index.html", "/ui/app.js/"}) {
    EXPECT_EQ(ask(path, Role::kOperator).status, 404) << path;
  }
  EXPECT_EQ(ask("/", Role::kOperator, {}, "POST").status, 405);
  EXPECT_FALSE(WebPage::serves("/api/v1/status"));
  EXPECT_FALSE(WebPage::serves("/uix"));
}

}  // namespace
}  // namespace pgb::control

#include "control/web_page.h"

#include "http/server.h"
#include "web/page_files.h"

namespace pgb::control {
namespace {

constexpr std::string_view kFolder = "/ui/";
constexpr std::string_view kTextPlace = "<!--text-->";
constexpr char kNoEntry[] = "send the header Authorization: Bearer with the balancer's token";

std::string header(const http::Request& request, const char* name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? "" : found->second;
}

// Nothing from elsewhere, nothing inline, in nobody's frame.
void protect(http::Response& response) {
  response.headers["content-security-policy"] =
      "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
  response.headers["x-content-type-options"] = "nosniff";
  response.headers["referrer-policy"] = "no-referrer";
  response.headers["cross-origin-opener-policy"] = "same-origin";
  response.headers["cross-origin-resource-policy"] = "same-origin";
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  }
  return out;
}

http::Response file_answer(const http::Request& request, const web::PageFile& file) {
  http::Response response;
  protect(response);
  response.headers["etag"] = file.etag;
  response.headers["cache-control"] = "no-cache";  // kept, but asked for again: a new balancer has new files
  response.headers["vary"] = "accept-encoding";
  if (header(request, "if-none-match").find(file.etag) != std::string::npos) {
    response.status = 304;
    return response;
  }
  response.headers["content-type"] = file.type;
  const bool packed = header(request, "accept-encoding").find("gzip") != std::string::npos;
  if (packed) response.headers["content-encoding"] = "gzip";
  response.body = packed ? file.packed : file.plain;
  return response;
}

}  // namespace

bool WebPage::serves(std::string_view path) { return path == "/" || path.substr(0, kFolder.size()) == kFolder; }

http::Response WebPage::answer(const http::Request& request, std::string_view path, Role role) const {
  if (request.method != "GET" && request.method != "HEAD") return http::problem(405, "use GET on " + std::string(path));
  if (path == "/") return front(request, role);
  const web::PageFile* file = web::find_page_file(path.substr(kFolder.size()));
  if (file == nullptr || file->name == "index.html") return http::problem(404, "there is no " + std::string(path));
  return file_answer(request, *file);
}

http::Response WebPage::front(const http::Request& request, Role role) const {
  const std::string accepted = header(request, "accept");
  const bool as_text = accepted.find("text/plain") != std::string::npos && accepted.find("html") == std::string::npos;
  http::Response response;
  protect(response);
  response.headers["cache-control"] = "no-store";
  if (as_text) {
    if (role < Role::kViewer) return http::problem(401, kNoEntry);
    response.headers["content-type"] = "text/plain; charset=utf-8";
    response.body = text_();
    return response;
  }
  const web::PageFile* page = web::find_page_file("index.html");
  response.headers["content-type"] = "text/html; charset=utf-8";
  response.body = page == nullptr ? "" : page->plain;
  const size_t place = response.body.find(kTextPlace);
  if (place != std::string::npos) {
    const std::string text =
        role >= Role::kViewer ? text_()
                              : "The state is shown to those who may see it. Without JavaScript, ask in a terminal:\n"
                                "  curl -H 'Accept: text/plain' -H 'Authorization: Bearer TOKEN' " +
                                    ("http://" + header(request, "host")) + "/\n";
    response.body.replace(place, kTextPlace.size(), escaped(text));
  }
  return response;
}

}  // namespace pgb::control

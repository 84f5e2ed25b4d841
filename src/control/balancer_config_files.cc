// The files that a balancer's configuration consists of.
#include <sys/stat.h>

#include <set>

#include "control/balancer_config.h"
#include "model/mistakes.h"
#include "os/file.h"

namespace pgb::control {
namespace {

constexpr size_t kLongestSocket = 100;  // bytes; with ".new" behind it must fit into a socket's address

Status refuse_if_others_may_read(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0 || (info.st_mode & 077) == 0) return Status();
  return Error(Code::kConfigUnreadable, path + " holds passwords but others than its owner have rights on it")
      .with("try", "chmod 600 " + path);
}

Result<std::string> read_text(const std::string& path) {
  auto text = os::read_file(path);
  if (text) return text;
  Error error = std::move(text).error();
  error.code = Code::kConfigUnreadable;
  return error;
}

// Where a file is that another one names.
std::string path_beside(const std::string& file, const std::string& named) {
  return named[0] == '/' ? named : file.substr(0, file.rfind('/') + 1) + named;
}

// Files that the balancer makes itself.
Status place_files(BalancerConfig& config, const std::string& beside) {
  for (std::string* file : {&config.log_file, &config.takeover_socket, &config.pid_file}) {
    if (!file->empty()) *file = path_beside(beside, *file);
  }
  if (config.takeover_socket.size() <= kLongestSocket) return Status();
  return Error(Code::kConfig, "takeover_socket: " + config.takeover_socket + " is too long for a Unix socket")
      .with("try", "a path of no more than " + std::to_string(kLongestSocket) + " bytes");
}

Status add_rules_of_file(BalancerConfig& config, const std::string& beside) {
  const std::string path = path_beside(beside, config.hba_file);
  auto text = read_text(path);
  if (!text) return std::move(text).error().in("hba_file");
  auto rules = proxy::HbaRules::parse(*text);
  if (!rules) return std::move(rules).error().in(path);
  if (rules->wants_certificates() && config.tls_client_certs == "none") {
    return Error(Code::kConfig,
                 path + ": its rules ask for certificates (cert, clientcert) that no client is asked for")
        .with("try", "set tls_client_certs to \"optional\", and tls_ca_file");
  }
  config.hba = std::make_shared<const proxy::HbaRules>(std::move(*rules));
  return Status();
}

Status add_users_of_file(BalancerConfig& config, const std::string& beside) {
  const std::string path = path_beside(beside, config.users_file);
  auto text = read_text(path);
  if (!text) return std::move(text).error().in("users_file");
  PGB_TRY(refuse_if_others_may_read(path));
  auto more = parse_user_list(*text);
  if (!more) return std::move(more).error().in(path);
  std::set<std::string> names;
  for (const User& user : config.users) names.insert(user.name);
  for (User& user : *more) {
    if (names.count(user.name) != 0) {
      return Error(Code::kConfig, path + ": " + model::shown(user.name) + " stands under \"users\" already");
    }
    config.users.push_back(std::move(user));
  }
  return Status();
}

Status add_pcp_users(BalancerConfig& config, const std::string& beside) {
  const std::string path = path_beside(beside, config.pcp_users_file);
  auto text = read_text(path);
  if (!text) return std::move(text).error().in("pcp_users_file");
  PGB_TRY(refuse_if_others_may_read(path));
  auto users = parse_pcp_users(*text);
  if (!users) return std::move(users).error().in(path);
  config.pcp_users = std::move(*users);
  return Status();
}

}  // namespace

Result<BalancerConfig> load_balancer_config(const std::string& path) {
  auto text = read_text(path);
  if (!text) return std::move(text).error();
  auto config = parse_balancer_config(*text);
  if (!config) return std::move(config).error().in(path);
  if (config->holds_secrets()) PGB_TRY(refuse_if_others_may_read(path));
  PGB_TRY(place_files(*config, path));
  if (!config->users_file.empty()) PGB_TRY(add_users_of_file(*config, path));
  if (!config->hba_file.empty()) PGB_TRY(add_rules_of_file(*config, path));
  if (!config->pcp_users_file.empty()) PGB_TRY(add_pcp_users(*config, path));
  if (!config->store_dir.empty()) config->store_dir = path_beside(path, config->store_dir);
  return config;
}

}  // namespace pgb::control

#include "control/load_tls.h"

namespace pgb::control {
namespace {

net::TlsVerify verify_of(const std::string& server_tls) {
  if (server_tls == "verify-full") return net::TlsVerify::kHost;
  return server_tls == "verify-ca" ? net::TlsVerify::kChain : net::TlsVerify::kNothing;
}

Status load_for_clients(const BalancerConfig& config, proxy::TlsSetup& setup) {
  if (config.tls_cert_file.empty()) return Status();
  // Loaded with tls_mode "disable", too: whoever switches it on later knows today that the files are right.
  auto tls = net::TlsContext::server(config.tls_cert_file, config.tls_key_file, config.tls_ca_file);
  if (!tls) return std::move(tls).error().in("tls_cert_file, tls_key_file, tls_ca_file");
  if (config.rest_tls) {
    auto rest = net::TlsContext::web_server(config.tls_cert_file, config.tls_key_file);
    if (!rest) return std::move(rest).error();
    setup.to_browsers = std::move(*rest);
  }
  if (config.tls_mode == "disable") return Status();
  setup.to_clients = std::move(*tls);
  setup.required = config.tls_mode == "require";
  setup.certificate_required = config.tls_client_certs == "required";
  if (!setup.required && !setup.certificate_required) return Status();
  net::TlsClientFiles files;
  if (setup.certificate_required) files.cert_file = config.tls_cert_file, files.key_file = config.tls_key_file;
  auto ours = net::TlsContext::client(files);
  if (!ours) return std::move(ours).error();
  setup.to_ourselves = {std::move(*ours), true};
  return Status();
}

Status load_for_servers(const BalancerConfig& config, proxy::TlsSetup& setup) {
  if (config.server_tls == "disable") return Status();
  net::TlsClientFiles files;
  files.verify = verify_of(config.server_tls);
  files.ca_file = config.server_tls_ca_file;
  files.cert_file = config.server_tls_cert_file;
  files.key_file = config.server_tls_key_file;
  auto tls = net::TlsContext::client(files);
  if (!tls) return std::move(tls).error().in("server_tls");
  setup.to_servers = {std::move(*tls), config.server_tls != "prefer"};
  return Status();
}

}  // namespace

Result<proxy::TlsSetup> load_tls(const BalancerConfig& config) {
  proxy::TlsSetup setup;
  PGB_TRY(load_for_clients(config, setup));
  PGB_TRY(load_for_servers(config, setup));
  return setup;
}

}  // namespace pgb::control

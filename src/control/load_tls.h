// From the configuration's tls_* and server_tls* keys to what the proxy uses.
#pragma once

#include "base/result.h"
#include "control/balancer_config.h"
#include "proxy/tls_setup.h"

namespace pgb::control {

// Reads the files that the configuration names. kConfig names the key, the file and the reason.
Result<proxy::TlsSetup> load_tls(const BalancerConfig& config);

}  // namespace pgb::control

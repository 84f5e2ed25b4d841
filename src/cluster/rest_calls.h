// The manager's calls to the REST interfaces of balancers. By TLS where the cluster file says "rest_tls"; then nobody
// is taken for a balancer but who shows the certificate that the manager gave it.
//
// <state_dir>/<cluster>/certificates/<balancer>.pem   those, the one given last at the end
#pragma once

#include "cluster/session.h"
#include "http/message.h"

namespace pgb::cluster {

// As the record of the cluster says that it is reached. Sends the manager's token along. kUnreachable …, kNotReady if
// its certificate is not known.
Result<http::Response> call_balancer(const Session& session, const model::Cluster& cluster, const Secrets& secrets,
                                     const model::Balancer& balancer, http::Request request, Deadline deadline);

// The same for a balancer that is about to read its file again: it may still speak as it did before, or as an init that
// was cut off has told it. `spoke_tls`: as the record said before. Without TLS only where the record or the file says
// so, or where nobody is in between.
Result<http::Response> call_changing_balancer(const Session& session, const model::Cluster& cluster,
                                              const Secrets& secrets, const model::Balancer& balancer, bool spoke_tls,
                                              http::Request request, Deadline deadline);

// As Runtime::ensure(). The certificate that a balancer gets with it counts from now on, beside the one that it may
// still show.
Status ensure_unit(const Session& session, const runtime::UnitSpec& unit, Deadline deadline);

// The balancer has read its file: none counts but the one that it was given last, and none at all without TLS.
Status note_certificate_shown(const Session& session, const model::Balancer& balancer);

}  // namespace pgb::cluster

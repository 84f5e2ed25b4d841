// Inside dcs only: what an error of etcd means for us.
#pragma once

#include <string>

#include "dcs/etcd_json.h"

namespace pgb::dcs {

struct Refusal {
  Error error;
  bool login = false;  // our token is not (or no longer) known: log in and ask again
};

// From the body of an answer that is no success; `harmless`: the request may be repeated.
Refusal refusal_of(const std::string& endpoint, int status, const Json& body, bool harmless);

}  // namespace pgb::dcs

// A range of IP addresses: an address and a mask, as pg_hba.conf has them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/address.h"

struct sockaddr;

namespace pgb::net {

class Network {
 public:
  Network() = default;  // holds nothing

  // `mask`: a number of bits ("8"), or an address of the same family ("255.0.0.0"). kConfig says what is wrong.
  // Bits of `host` behind the mask do not count.
  static Result<Network> parse(const std::string& host, const std::string& mask);

  // An IPv4 address that came through an IPv6 socket (::ffff:10.0.0.1) counts as IPv4.
  bool contains(const Address& address) const;
  // Whether it is the address that the network was made from.
  bool address_is(const Address& address) const;

 private:
  friend std::vector<Network> own_networks();
  using Bytes = std::array<uint8_t, 16>;
  static size_t bytes_of(const sockaddr* address, Bytes& out);  // 4, 16; 0 for another family

  Bytes host_ = {};
  Bytes mask_ = {};
  size_t size_ = 0;  // bytes that count
};

// Of this machine's interfaces: each with the machine's own address there.
std::vector<Network> own_networks();

}  // namespace pgb::net

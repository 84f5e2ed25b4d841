#include "dcs/embedded_store.h"

#include "dcs/gateway.h"
#include "http/server.h"

namespace pgb::dcs {
namespace {

// Watches take one each for as long as they last; requests need the rest.
constexpr size_t kConnections = Gateway::kMostWatches + 128;

class Embedded final : public EmbeddedStore {
 public:
  Embedded(std::unique_ptr<LocalStore> store, const EmbeddedSettings& settings)
      : store_(std::move(store)), gateway_(*store_, settings.user, settings.password) {}

  Status serve(const EmbeddedSettings& settings) {
    auto server = http::Server::start(
        settings.address, settings.port, [this](const http::Request& request) { return gateway_.handle(request); },
        kConnections);
    if (!server) return std::move(server).error().in("lease store");
    server_ = std::move(*server);
    return Status();
  }

  uint16_t port() const override { return server_->port(); }
  LocalStore& store() override { return *store_; }

 private:
  std::unique_ptr<LocalStore> store_;
  Gateway gateway_;
  std::unique_ptr<http::Server> server_;  // last: its threads use the others
};

}  // namespace

Result<std::unique_ptr<EmbeddedStore>> EmbeddedStore::start(EmbeddedSettings settings) {
  auto store = LocalStore::open(settings.directory);
  if (!store) return std::move(store).error();
  auto embedded = std::make_unique<Embedded>(std::move(*store), settings);
  PGB_TRY(embedded->serve(settings));
  return std::unique_ptr<EmbeddedStore>(std::move(embedded));
}

}  // namespace pgb::dcs

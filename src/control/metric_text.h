// Metrics as text: OpenMetrics 1.0, or Prometheus' older format 0.0.4. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/traffic.h"

namespace pgb::control {

class MetricText {
 public:
  explicit MetricText(bool openmetrics) : openmetrics_(openmetrics) {}

  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;
  enum class Type : uint8_t { kGauge, kCounter, kHistogram };

  // All samples of a family follow its beginning. A counter's `name` goes without "_total"; a name with a unit ends
  // with it:
  // "_seconds", "_bytes".
  void begin(Type type, std::string_view name, std::string_view help);
  void add(double value, const Labels& labels = {});
  void add(const proxy::Latency& latency, const Labels& labels);
  void one(Type type, std::string_view name, std::string_view help, double value) {
    begin(type, name, help);
    add(value);
  }

  std::string finish();  // the whole text
  static const char* content_type(bool openmetrics);

 private:
  void sample(std::string_view suffix, const Labels& labels, double value);

  const bool openmetrics_;
  Type type_ = Type::kGauge;
  std::string name_, out_;
};

}  // namespace pgb::control

#include "control/metric_text.h"

#include <cmath>

#include "control/text_of.h"

namespace pgb::control {
namespace {

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// The shortest text that means the same, whole numbers without a point.
std::string text_of(double value) {
  if (std::floor(value) == value && std::fabs(value) < 1e15) return fixed(value, 0);
  char out[32];
  std::snprintf(out, sizeof out, "%.15g", value);
  return out;
}

// OpenMetrics wants a point in it.
std::string bound_text(double seconds) {
  std::string out = text_of(seconds);
  return out.find_first_of(".e") == std::string::npos ? out + ".0" : out;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

const char* MetricText::content_type(bool openmetrics) {
  return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                     : "text/plain; version=0.0.4; charset=utf-8";
}

void MetricText::begin(Type type, std::string_view name, std::string_view help) {
  static constexpr const char* kTypes[] = {"gauge", "counter", "histogram"};
  type_ = type;
  name_ = name;
  const std::string family = name_ + (type == Type::kCounter && !openmetrics_ ? "_total" : "");
  out_ += "# HELP " + family + " ";
  append_escaped(out_, help, openmetrics_);
  out_ += "\n# TYPE " + family + " " + kTypes[static_cast<size_t>(type)] + "\n";
  if (!openmetrics_) return;
  for (const std::string_view unit : {"seconds", "bytes"}) {
    if (ends_with(name_, std::string("_").append(unit))) out_ += "# UNIT " + family + " " + std::string(unit) + "\n";
  }
}

void MetricText::sample(std::string_view suffix, const Labels& labels, double value) {
  out_ += name_;
  out_ += suffix;
  char between = '{';
  for (const auto& [label, text] : labels) {
    out_ += std::exchange(between, ',');
    out_ += label;
    out_ += "=\"";
    append_escaped(out_, text, true);
    out_ += '"';
  }
  if (between == ',') out_ += '}';
  out_ += ' ' + text_of(value) + '\n';
}

void MetricText::add(double value, const Labels& labels) {
  sample(type_ == Type::kCounter ? "_total" : "", labels, value);
}

void MetricText::add(const proxy::Latency& latency, const Labels& labels) {
  Labels with_bound = labels;
  with_bound.emplace_back("le", "");
  uint64_t sum = 0;
  for (size_t i = 0; i < latency.counts.size(); ++i) {
    sum += latency.counts[i];
    const bool last = i == proxy::Latency::kBounds.size();
    const std::string bound = last ? "+Inf" : bound_text(proxy::Latency::kBounds[i] / 1e6);
    with_bound.back().second = bound;
    sample("_bucket", with_bound, static_cast<double>(sum));
  }
  sample("_sum", labels, static_cast<double>(latency.sum_us) / 1e6);
  sample("_count", labels, static_cast<double>(sum));
}

std::string MetricText::finish() {
  if (openmetrics_) out_ += "# EOF\n";
  return std::exchange(out_, {});
}

}  // namespace pgb::control

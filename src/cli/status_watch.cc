#include "cli/status_watch.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "cli/events_filter.h"
#include "cli/keys.h"
#include "cli/why_view.h"
#include "os/file.h"

namespace pgb::cli {

namespace {

constexpr size_t kMostEvents = 200;

struct Place {
  std::string balancer, node;
};

std::vector<Place> places(const cluster::StatusDocument& document) {
  std::vector<Place> out;
  for (const cluster::BalancerStatus& balancer : document.balancers) {
    for (const cluster::NodeStatus& node : balancer.nodes) out.push_back({balancer.name, node.name});
  }
  return out;
}

}  // namespace

StatusWatch::StatusWatch(cluster::Session& session, std::function<Result<cluster::StatusDocument>()> look,
                         std::function<std::string(const cluster::StatusDocument&, bool, const std::string&)> render,
                         bool wide)
    : session_(session), look_(std::move(look)), render_(std::move(render)), wide_(wide) {}

const char* StatusWatch::help() {
  return "  p             pauses: asks nobody until p is pressed again\n"
         "  w             wide or narrow\n"
         "  up, down      choose a server (k and j, too)\n"
         "  Return        why that one is as it is, and back\n"
         "  e             what was done when, newest first, and back\n"
         "  Esc           back to the servers\n"
         "  blank         looks at once\n";
}

Result<std::string> StatusWatch::make() {
  if (shown_ == Shown::kEvents) return events_text();
  if (!paused_ || !known_) {
    auto document = look_();
    if (!document.ok()) return std::move(document).error();
    known_ = std::move(*document);
  }
  std::string out;
  if (paused_) out = "paused: this is as of " + known_->time.substr(0, 19) + "Z, p goes on\n\n";
  if (shown_ == Shown::kWhy) return out + why_text();
  return out + render_(*known_, wide_, chosen_);
}

std::string StatusWatch::keys() const {
  if (shown_ == Shown::kStatus)
    return paused_ ? "  q quits  p goes on  w wide  e events  ? help" : "  q quits  p pauses  w wide  e events  ? help";
  return "  q quits  Esc goes back  ? help";
}

bool StatusWatch::obey(int key) {
  const auto toggle = [this](Shown what) { shown_ = shown_ == what ? Shown::kStatus : what; };
  switch (key) {
    case 'p': paused_ = !paused_; return true;
    case 'w': wide_ = !wide_; return true;
    case 'e': toggle(Shown::kEvents); return true;
    case kEscape: shown_ = Shown::kStatus; return true;
    case kUp:
    case 'k': choose(-1); return true;
    case kDown:
    case 'j': choose(1); return true;
    case '\n':
      if (chosen_.empty()) choose(1);
      toggle(Shown::kWhy);
      return true;
    default: return key == ' ';
  }
}

void StatusWatch::choose(int step) {
  if (!known_) return;
  const auto all = places(*known_);
  if (all.empty()) return;
  const auto found = std::find_if(all.begin(), all.end(), [this](const Place& one) { return one.node == chosen_; });
  const int count = static_cast<int>(all.size());
  const int old = found == all.end() ? (step > 0 ? -1 : count) : static_cast<int>(found - all.begin());
  chosen_ = all[static_cast<size_t>(std::clamp(old + step, 0, count - 1))].node;
}

std::string StatusWatch::why_text() const {
  for (const cluster::BalancerStatus& balancer : known_->balancers) {
    for (const cluster::NodeStatus& node : balancer.nodes) {
      if (node.name == chosen_) return render_why(node, cluster::why(session_, balancer.name));
    }
  }
  return chosen_.empty() ? "There is no server.\n" : "There is no server " + visible(chosen_) + " any more.\n";
}

std::string StatusWatch::events_text() const {
  const auto text = os::read_file(session_.events_file());
  if (!text.ok()) return "Nothing was done yet.\n";
  const auto lines = split(*text, '\n');
  std::string out;
  for (size_t i = lines.size(); i > lines.size() - std::min(lines.size(), kMostEvents); --i) {
    out += event_line(lines[i - 1], "", false);
  }
  return out.empty() ? "Nothing was done yet.\n" : out;
}

}  // namespace pgb::cli

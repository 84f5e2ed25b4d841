#include "control/live_state.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/strings.h"
#include "control/live_json.h"
#include "control/text_of.h"

namespace pgb::control {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kHistoryPace{2};
constexpr std::chrono::seconds kHistoryPatience{2};  // roles get old meanwhile

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string kind_of(const dcs::HistoryLine& line) {
  return line.action == "acquire" || line.action == "forced" || line.action == "release" ? "role" : "note";
}

std::string piece(const char* event, const std::string& data, const EventPosition& known) {
  return "id: " + known.text() + "\nevent: " + event + "\ndata: " + data + "\n\n";
}

// A text that was made once, with how old it is now.
std::string with_age(const std::string& state, double age_s) {
  return "{\"age_s\":" + fixed(age_s, 3) + "," + state.substr(1);
}

// What is to be shown as soon as it is otherwise.
std::tuple<std::string, uint64_t, bool> leadership(const std::optional<GroupRoles::Now>& roles) {
  return roles ? std::tuple(roles->leader, roles->epoch, roles->paused) : std::tuple(std::string(), uint64_t{0}, false);
}

}  // namespace

LiveState::LiveState(const proxy::Admin& proxy, const GroupRoles* roles, Settings settings)
    : proxy_(proxy),
      roles_(roles),
      settings_(std::move(settings)),
      topology_(proxy.topology()),
      orders_(proxy.orders()) {
  if (const proxy::NodeView* primary = topology_->primary()) {
    last_primary_ = primary->name;
  } else {
    lost_ = Steady::now();  // nobody lost it under our eyes, but the time without one counts
  }
  take(true);
  thread_ = std::thread([this] { run(); });
  if (roles_ != nullptr) roles_thread_ = std::thread([this] { run_roles(); });
}

LiveState::~LiveState() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  news_.notify_all();
  thread_.join();
  if (roles_thread_.joinable()) roles_thread_.join();
}

double LiveState::age_s(Steady::time_point of) const {
  return std::chrono::duration<double>(Steady::now() - of).count();
}

// mutex_ is held. A store that takes its time may leave behind what is not so any more.
std::optional<GroupRoles::Now> LiveState::roles_lately() const {
  return age_s(roles_asked_) <= kOld_s ? roles_now_ : std::nullopt;
}

void LiveState::run_roles() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    roles_wanted_ = false;
    lock.unlock();
    const bool changed = read_roles();
    lock.lock();
    roles_changed_ = roles_changed_ || changed;
    news_.wait_for(lock, settings_.period, [this] { return stopped_ || roles_wanted_; });
  }
}

void LiveState::run() {
  auto period_ends = Steady::now() + settings_.period;
  std::unique_lock lock(mutex_);
  while (!news_.wait_for(lock, settings_.look, [this] { return stopped_; })) {
    const bool roles_changed = std::exchange(roles_changed_, false);
    lock.unlock();
    const bool changed = note_changes();
    const bool new_period = Steady::now() >= period_ends;
    if (new_period) period_ends = std::max(period_ends + settings_.period, Steady::now());
    if (changed || roles_changed || new_period) take(new_period);
    lock.lock();
    roles_wanted_ = roles_wanted_ || changed;
    if (changed) news_.notify_all();
  }
}

void LiveState::say(std::string kind, std::string node, std::string text) {
  add({0, utc_millis(std::chrono::system_clock::now()), std::move(kind), std::move(node), 0, std::move(text), 0});
}

void LiveState::add(LiveEvent event) {
  const std::lock_guard lock(mutex_);
  events_.add(std::move(event));
}

bool LiveState::note_changes() {
  const proxy::TopologyPtr topology = proxy_.topology();
  const proxy::OrdersPtr orders = proxy_.orders();
  const bool changed = topology != topology_ || *orders != *orders_;
  if (topology != topology_) {
    note_nodes(*topology);
    note_primary(*topology);
  }
  if (*orders != *orders_) note_orders(*orders);
  topology_ = topology;
  orders_ = orders;
  return changed;
}

void LiveState::note_nodes(const proxy::TopologySnapshot& now) {
  for (const proxy::NodeView& node : now.nodes) {
    const proxy::NodeView* before = topology_->find(node.name);
    if (before == nullptr) say("order", node.name, node.name + " was added");
    const bool was_up = before != nullptr && before->healthy;
    if (node.healthy && !was_up) {
      say("health", node.name, node.name + " answers, as " + proxy::to_string(node.role));
    } else if (!node.healthy && was_up) {
      say("health", node.name, node.name + " is " + (node.refused ? "refused" : "down") + ": " + node.last_error);
    }
  }
  for (const proxy::NodeView& node : topology_->nodes) {
    if (now.find(node.name) == nullptr) say("order", node.name, node.name + " was taken out");
  }
}

void LiveState::note_primary(const proxy::TopologySnapshot& now) {
  const proxy::NodeView* primary = now.primary();
  if (primary == nullptr) {
    if (topology_->primary() == nullptr) return;
    {
      const std::lock_guard lock(mutex_);
      lost_ = Steady::now();
      ++counts_.primary_losses;
    }
    return say("role", "", "there is no primary: writes wait");
  }
  std::unique_lock lock(mutex_);
  const auto lost = std::exchange(lost_, std::nullopt);
  const double seconds = lost ? std::chrono::duration<double>(Steady::now() - *lost).count() : 0;
  counts_.without_primary_s += seconds;
  if (!last_primary_.empty() && primary->name != last_primary_) ++counts_.primary_changes;
  lock.unlock();
  if (lost || primary->name != last_primary_) {
    std::string text = primary->name + (primary->name == last_primary_ ? " is the primary again" : " is the primary");
    if (primary->timeline > 0) text += ", timeline " + std::to_string(primary->timeline);
    if (lost) text += "; there was none for about " + fixed(seconds, 1) + " s";
    say("role", primary->name, text);
  }
  last_primary_ = primary->name;
}

void LiveState::note_orders(const proxy::Orders& now) {
  const proxy::Orders& before = *orders_;
  if (now.finishing && !before.finishing) say("order", "", "the balancer ends: it takes no more clients");
  if (now.paused != before.paused) {
    say("order", "", now.paused ? "all databases are paused: new work waits" : "all databases go on");
  }
  const auto differences = [](const std::set<std::string>& from, const std::set<std::string>& to, auto tell) {
    for (const std::string& name : to) {
      if (from.count(name) == 0) tell(name);
    }
  };
  differences(before.paused_databases, now.paused_databases,
              [&](const std::string& name) { say("order", "", "the database " + name + " is paused"); });
  differences(now.paused_databases, before.paused_databases,
              [&](const std::string& name) { say("order", "", "the database " + name + " goes on"); });
  differences(before.drained, now.drained,
              [&](const std::string& name) { say("order", name, name + " gets no new work: it is drained"); });
  differences(now.drained, before.drained,
              [&](const std::string& name) { say("order", name, name + " gets work again"); });
}

// Whether somebody else leads, or it is known only now who does. The history is long: it is read then, and else now and
// then.
bool LiveState::read_roles() {
  const auto asked = Steady::now();
  std::optional<GroupRoles::Now> fresh;
  std::optional<bool> up;
  if (roles_->has_store()) {
    auto now = roles_->now();
    up = now || roles_->answers();
    if (now) fresh = std::move(*now);
  }
  const bool known = fresh.has_value();
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    changed = known != roles_now_.has_value() || leadership(fresh) != leadership(roles_now_);
    roles_now_ = std::move(fresh);
    store_up_ = up;
    roles_asked_ = asked;
  }
  if (known && (changed || Steady::now() - history_read_ > kHistoryPace)) read_history();
  return changed;
}

void LiveState::read_history() {
  history_read_ = Steady::now();
  auto history = roles_->history(Deadline::after(kHistoryPatience));
  if (!history) return;
  std::set<std::string> there;
  std::vector<dcs::HistoryLine> fresh, promotions;
  for (dcs::HistoryLine& line : *history) {
    if (line.timeline != 0) promotions.push_back(line);
    const std::string key = line.time + line.node + line.action + line.text;
    there.insert(key);
    if (told_.count(key) != 0) continue;
    const std::string kind = kind_of(line);
    fresh.push_back(line);
    add({0, std::move(line.time), kind, std::move(line.node), static_cast<int64_t>(line.epoch), std::move(line.text),
         line.revision});
  }
  told_ = std::move(there);
  const bool knew_past = std::exchange(knows_past_, true);
  const std::lock_guard lock(mutex_);
  if (knew_past) counts_.count(fresh);
  promotions_ = std::move(promotions);
}

// Rates are of a whole period; what else there is, is of now.
void LiveState::take(bool new_period) {
  proxy::Counted counted = proxy_.counted();
  const auto taken = counted.at;  // a while ago, perhaps: the rest is of now
  std::optional<Rates> of_step;
  if (new_period) {
    Look now = look_at(counted);
    if (view_ && now.at > second_ago_.at) rates_ = rates_between(second_ago_, now);
    const bool step_ends = !view_ || now.at - step_ago_.at >= ChartHistory::kStep - settings_.period / 2;
    if (view_ && step_ends) of_step = rates_between(step_ago_, now);
    if (step_ends) step_ago_ = now;
    second_ago_ = std::move(now);
  }
  std::optional<GroupRoles::Now> roles;
  {
    const std::lock_guard lock(mutex_);
    roles = roles_lately();
  }
  auto view =
      std::make_shared<LiveView>(live_view(proxy_, settings_.group, std::move(counted), rates_, std::move(roles)));
  view->cluster = settings_.cluster;
  if (view->cluster.empty() && view_) view->cluster = view_->cluster;  // no setting tells: as last read in the store
  if (settings_.cluster.empty() && view->roles) view->cluster = view->roles->cluster;
  {
    const std::lock_guard lock(mutex_);
    if (of_step) {
      LiveView step = *view;
      step.rates = *of_step;
      for (LiveNode& node : step.nodes) node.rates = step.rates.nodes[node.name];
      history_.add(step, now_ms());
    }
    view_ = std::move(view);
    taken_ = taken;
    state_text_.reset();
    ++state_number_;
  }
  news_.notify_all();
}

std::string LiveState::snapshot(const Reader& you) const {
  std::shared_ptr<const LiveView> view;
  Json events = Json::array(), history;
  EventPosition newest;
  double age = 0;
  {
    const std::lock_guard lock(mutex_);
    view = view_;
    age = age_s(taken_);
    newest = events_.newest();
    for (const LiveEvent& event : events_.all()) events.push_back(to_json(event));
    history = to_json(history_);
  }
  Json document = to_json(*view);
  document["age_s"] = std::round(age * 1000) / 1000;
  document["last_event_id"] = newest.text();
  document["you"] = {{"role", you.role}, {"user", you.user}};
  document["events"] = std::move(events);
  document["history"] = std::move(history);
  return line_of(document) + "\n";
}

std::string LiveState::text() const {
  LiveView view;
  std::vector<LiveEvent> events;
  double age = 0;
  {
    const std::lock_guard lock(mutex_);
    view = *view_;
    age = age_s(taken_);
    events.assign(events_.all().begin(), events_.all().end());
  }
  if (age > kOld_s) call_unknown(view, age);
  return live_text(view, events);
}

LiveState::RoleNumbers LiveState::role_numbers() const {
  const std::lock_guard lock(mutex_);
  RoleNumbers numbers;
  numbers.roles = roles_lately();
  if (store_up_) numbers.store_up = *store_up_ && age_s(roles_asked_) <= kOld_s;
  numbers.counts = counts_;
  if (lost_) numbers.counts.without_primary_s += std::chrono::duration<double>(Steady::now() - *lost_).count();
  return numbers;
}

std::vector<dcs::HistoryLine> LiveState::promotions() const {
  const std::lock_guard lock(mutex_);
  return promotions_;
}

std::shared_ptr<LiveState::Stream> LiveState::open(std::optional<EventPosition> known) const {
  if (++*streams_ > settings_.most_streams) {
    --*streams_;
    return nullptr;
  }
  const std::lock_guard lock(mutex_);
  const EventPosition& newest = events_.newest();
  EventPosition from = known.value_or(newest);
  if (from.run == newest.run) {
    from.event = std::min(from.event, newest.event);
    return std::make_shared<Stream>(*this, std::move(from), 0);
  }
  // What this process has seen is news, but not what the lease store told the other one, too.
  const int64_t told = from.revision;
  return std::make_shared<Stream>(*this, EventPosition{newest.run, 0, told}, told);
}

std::string LiveState::Stream::next(std::chrono::milliseconds wait) {
  std::shared_ptr<const LiveView> view;
  std::shared_ptr<const std::string> state;
  std::vector<LiveEvent> events;
  uint64_t newest = 0;
  Steady::time_point taken;
  {
    std::unique_lock lock(live_.mutex_);
    live_.news_.wait_for(lock, wait, [&] { return live_.stopped_ || live_.state_number_ != last_state_; });
    if (live_.state_number_ == last_state_) return "";
    last_state_ = live_.state_number_;
    view = live_.view_;
    taken = live_.taken_;
    state = live_.state_text_;
    events = live_.events_.since(known_.event, told_);
    newest = live_.events_.newest().event;
  }
  std::string out;
  for (const LiveEvent& event : events) {
    known_.event = event.id;
    known_.revision = std::max(known_.revision, event.revision);
    out += piece("event", line_of(to_json(event)), known_);
  }
  known_.event = newest;  // those that it heard of elsewhere are not told when it comes back, either
  if (!state) {           // the first of the readers that want it makes it, for all
    state = std::make_shared<const std::string>(line_of(to_json(*view)));
    const std::lock_guard lock(live_.mutex_);
    if (live_.view_ == view) live_.state_text_ = state;
  }
  return out + piece("state", with_age(*state, live_.age_s(taken)), known_);
}

}  // namespace pgb::control

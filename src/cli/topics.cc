#include "cli/topics.h"

#include <algorithm>

namespace pgb::cli {
namespace {

std::string padded(std::string_view text, size_t width) {
  std::string out(text);
  out.resize(std::max(width, out.size() + 1), ' ');
  return out;
}

constexpr std::string_view kPorts =
    "Ports\n"
    "\n"
    "  Each balancer has \"port\" for PostgreSQL clients, \"rest_api_port\" and\n"
    "  \"pcp_port\"; each server has \"port\". They listen on \"bind_address\" (127.0.0.1\n"
    "  by default). What the file leaves out is counted from 19999, 18080, 19898\n"
    "  and 15432; the second balancer's begin with 2. `plan` lists them.\n"
    "\n"
    "  PGB-PORT-IN-USE: init found somebody else on one of them, and touched\n"
    "  nothing. The message says where the file gives the port, and who holds it.\n"
    "  Then either\n"
    "\n"
    "    stop that program, and init again\n"
    "    give another port in the file, and init again\n"
    "    pgbalancer_cluster init --set-free-ports  (writes free ones into the file)\n"
    "\n"
    "  add-replica takes the next port that is free by itself. A cluster that runs\n"
    "  keeps its ports; to move it: stop, change the file, init. The data stays.\n";

constexpr std::string_view kRuntimes =
    "Runtimes\n"
    "\n"
    "  \"runtime\" in the file, or --runtime, says where servers and balancers live:\n"
    "\n"
    "    docker    containers of the engine at DOCKER_HOST, the current docker\n"
    "              context, or /var/run/docker.sock; all with labels of ours\n"
    "    process   plain processes of this machine, with PostgreSQL's own programs\n"
    "              (\"postgres\": {\"bin_dir\": ...}, else the newest version found)\n"
    "    auto      docker if an engine answers, else process: the default\n"
    "\n"
    "  A cluster keeps the runtime it was made with. `doctor` says what is there.\n";

constexpr std::string_view kImages =
    "Images\n"
    "\n"
    "  \"postgres\": {\"image\": \"postgres:17\"} can be any image with PostgreSQL's\n"
    "  programs: the agent is put into it, and becomes its first process. The\n"
    "  balancer's image is made from this program's own files.\n"
    "\n"
    "    init --pull missing    pulls what the engine does not have: the default\n"
    "    init --pull always     pulls again; servers get it when they are made anew\n"
    "    init --pull never      uses what is there, or says that it is not\n"
    "\n"
    "  Without a registry: docker load, or images/make_postgres_image.sh, which\n"
    "  makes an image from the distribution's packages. With a registry that wants\n"
    "  a login: docker login first.\n";

constexpr std::string_view kPasswords =
    "Passwords\n"
    "\n"
    "  \"postgres\": {\"password\": ...} is the superuser's, \"replication_password\"\n"
    "  that of the replicas' role: a text, {\"env\": NAME} or {\"file\": PATH}. Without\n"
    "  it one is made at init and kept in secrets.json of the state directory,\n"
    "  which only its owner can read.\n"
    "\n"
    "    pgbalancer_cluster url --show-password\n"
    "    pgbalancer_cluster url --format pgpass --show-password >> ~/.pgpass\n"
    "    pgbalancer_cluster psql                     (needs none of that)\n"
    "\n"
    "  No password is ever part of a command line, a log or `docker inspect`.\n";

constexpr std::string_view kState =
    "State\n"
    "\n"
    "  PGBALANCER_STATE_DIR, else /var/lib/pgbalancer for root, else\n"
    "  $XDG_STATE_HOME/pgbalancer or ~/.local/state/pgbalancer. In it, for each\n"
    "  cluster:\n"
    "\n"
    "    cluster.json    the cluster as it was made, added replicas included\n"
    "    secrets.json    passwords and tokens that were generated (mode 0600)\n"
    "    events.jsonl    what was done when: pgbalancer_cluster events\n"
    "    lock            held by the command that changes something\n"
    "    units/          local processes: their files, logs and data\n"
    "\n"
    "  `destroy` removes all of it; `list` names the clusters of this machine.\n";

constexpr std::string_view kMaintenance =
    "Maintenance\n"
    "\n"
    "  For groups whose agents choose the primary: all, unless the cluster file says\n"
    "  \"ha\": {\"failover\": false}.\n"
    "\n"
    "    restart           replicas one after the other, then the primary hands\n"
    "                      over to one of them and is restarted; balancers go on\n"
    "    switchover        another primary, planned; prints how long writes waited\n"
    "    reinit NODE       a replica that is not to be mended: its data are thrown\n"
    "                      away and copied anew; goes on by itself once begun\n"
    "    pause, resume     in between nobody is elected and nobody loses the role:\n"
    "                      the primary goes on even if the lease store is away, and\n"
    "                      a server that stops is not replaced. switchover works,\n"
    "                      failover does not. Agents may be restarted; the pause is\n"
    "                      kept in the lease store. If that is emptied, it is over.\n"
    "    drill KIND NODE   a failure on purpose: what it did to clients\n"
    "\n"
    "  resume is carried out by the primary. If it cannot be heard, it may still run\n"
    "  somewhere as one: resume refuses, and says who does not answer. Once you have\n"
    "  made sure that it is off: resume --force.\n";

std::string exit_code_text() {
  std::string out = "Exit codes\n\n";
  for (const Meaning& one : exit_codes()) out += "  " + padded(one.name, 12) + std::string(one.text) + "\n";
  return out + "\n  Which error has which code: pgbalancer_cluster help errors\n";
}

std::string error_text() {
  std::string out = "Errors\n\n";
  for (const ErrorInfo& row : error_table()) {
    out += "  " + std::string(row.id) + " (exit " + std::to_string(row.exit_code) + ")\n      " +
           std::string(row.help) + "\n";
  }
  return out;
}

std::string environment_text() {
  std::string out = "Environment\n\n";
  for (const Meaning& one : environment_variables()) {
    out += "  " + padded(one.name, 22) + std::string(one.text) + "\n";
  }
  return out;
}

}  // namespace

const std::vector<Topic>& topics() {
  static const std::vector<Topic> table = {
      {"ports", "who listens where, and what if a port is taken"},
      {"runtimes", "containers or local processes"},
      {"images", "of servers and balancers; with and without registry"},
      {"passwords", "where they come from and how to get at them"},
      {"state", "what is kept where"},
      {"maintenance", "pause, restart, switchover, reinit, drill"},
      {"environment", "variables that are read"},
      {"exit-codes", "what they mean"},
      {"errors", "all of them, with their exit codes"},
  };
  return table;
}

std::string topic_text(std::string_view name) {
  if (name == "ports") return std::string(kPorts);
  if (name == "runtimes") return std::string(kRuntimes);
  if (name == "images") return std::string(kImages);
  if (name == "passwords") return std::string(kPasswords);
  if (name == "state") return std::string(kState);
  if (name == "maintenance") return std::string(kMaintenance);
  if (name == "environment") return environment_text();
  if (name == "exit-codes") return exit_code_text();
  if (name == "errors") return error_text();
  return "";
}

std::string_view topic_of(Code code) {
  switch (code) {
    case Code::kPortInUse: return "ports";
    case Code::kNoEngine:
    case Code::kEngineDenied:
    case Code::kNoPostgres: return "runtimes";
    case Code::kImage: return "images";
    default: return "";
  }
}

const std::vector<Meaning>& exit_codes() {
  static const std::vector<Meaning> table = {
      {"0", "done, or already so"},
      {"1", "failed; the message says what stands"},
      {"2", "wrong command line"},
      {"3", "the cluster file is wrong or cannot be read"},
      {"4", "this machine cannot do it now: engine, port, disk, image, subnet"},
      {"5", "no such cluster, balancer or server"},
      {"6", "refused: it would lose data, or needs --yes"},
      {"7", "the time limit passed; safe to run again"},
      {"8", "another command is at work on this cluster"},
      {"10, 11, 12", "status --exit-code: degraded, no primary, not created"},
      {"20", "plan --exit-code: there is something to do"},
      {"130, 143", "interrupted, terminated; safe to run again"},
  };
  return table;
}

const std::vector<Meaning>& environment_variables() {
  static const std::vector<Meaning> table = {
      {"PGBALANCER_CONFIG", "the cluster file, where --config is not given"},
      {"PGBALANCER_PROGRESS", "as --progress"},
      {"PGBALANCER_STATE_DIR", "where the state of all clusters is kept"},
      {"DOCKER_HOST", "where the container engine listens"},
      {"NO_COLOR", "no colours"},
      {"COLUMNS", "the width of the output"},
  };
  return table;
}

}  // namespace pgb::cli

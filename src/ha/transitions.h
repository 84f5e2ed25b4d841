// The states of a node, what can meet it in each, and what is done then: one table. decide() finds out which row holds;
// docs/ha-states.md is printed from it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ha/decision.h"
#include "ha/state.h"

namespace pgb::ha {

struct Row {
  State from;
  Event event;
  Action action;
  State to;               // when the action succeeds
  std::string_view text;  // the event, for the diagram
};

std::string_view to_string(State state);
const std::vector<Row>& transitions();
const Row* find_row(State from, Event event);  // null: no such row; decide() never asks for one (simulated)

// The state diagram as a Markdown page with mermaid.
std::string state_diagram();

}  // namespace pgb::ha

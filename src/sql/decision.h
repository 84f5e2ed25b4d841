// Where a statement may go, in one database.
#pragma once

#include <cstdint>
#include <string>

#include "sql/catalog.h"
#include "sql/verdict.h"

namespace pgb::sql {

struct Decision {
  bool replica = false;
  bool may_do_anything = false;    // it runs volatile or unknown functions that may change the session, or write
  std::string reason;              // the end of "it goes to … because …"
  bool keeps_state = false;        // a function it calls, or a trigger, may leave something in the server's process
  bool sets_any = false;           // it calls a function that sets a parameter whose name nobody knows before
  bool may_leave = false;          // it writes, and a trigger, a default or the like may change the session
  bool asks_number = false;        // what it runs may ask for the last number of a sequence
  bool numbers_asked = false;      // something in the database does
  mutable bool refused = false;    // whoever routes by it: a replica would not do it, whatever this says
  mutable uint16_t reason_id = 0;  // for whoever counts reasons: a number that it gives to this one; 0: none yet
};

// `catalog` null or unread: not known yet, then only what names nothing is safe. A hint for replicas overrides what the
// catalogue says of names, never what the text itself does. Any thread may call.
Decision decide(const Verdict& verdict, const Catalog* catalog);

}  // namespace pgb::sql

// docs/ holds what the program itself says; these tests notice when it is out of date.
#include <gtest/gtest.h>

#include "cli/verb_table.h"
#include "model/schema.h"
#include "os/file.h"

namespace pgb::cli {
namespace {

std::string page(const std::string& name) {
  auto text = os::read_file(std::string(PGB_SOURCE_DIR "/docs/") + name);
  return text.ok() ? *text : text.error().message;
}

TEST(Docs, TheManPageIsThatOfThisProgram) {
  EXPECT_EQ(page("pgbalancer_cluster.1"), man_page()) << "pgbalancer_cluster help --man > docs/pgbalancer_cluster.1";
}

TEST(Docs, TheReferenceOfTheClusterFileIsThatOfThisProgram) {
  EXPECT_EQ(page("cluster-file.md"), model::reference_page())
      << "pgbalancer_cluster schema --markdown > docs/cluster-file.md";
}

}  // namespace
}  // namespace pgb::cli

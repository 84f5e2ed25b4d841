// The cluster manager.
#include "cli/app.h"

int main(int argc, char** argv) { return pgb::cli::run(std::vector<std::string>(argv + 1, argv + argc)); }

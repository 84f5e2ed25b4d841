"""What end-to-end tests are made of: the programs under test, clusters that clean up after themselves,
an engine of our own."""

"""What runs on a node on the harness's behalf: standard library alone, shipped as plain files."""

"""Studies that answered a question once; see the package `benchmarks` for how to run them."""

"""One module per protocol operation: typed input in, data or a reader out, no HTTP."""

"""One folder a dialect, the same file names in each; only `registry` knows both."""

"""Stored state behind the pipeline; imported only where `[store]` is not off, and but for `ondemand` only when it is
needed."""

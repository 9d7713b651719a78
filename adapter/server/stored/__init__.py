"""Stored state behind the pipeline; imported only where `[store]` is not off."""

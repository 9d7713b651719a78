"""Compaction: when, what is kept, how the summary is made, and how it is sealed; no await, no clock, no socket.

items ─▶ expand ─▶ keep.split ─▶ summarise (render, pieces, merge) or trim ─▶ Compacted ─▶ payload ─▶ sealing ─▶ shapes
"""

"""The benchmark: what the adapter costs, as ratios to a bare pass-through on the same stack. Run by `make bench`.

Never a timed test. The machine is taken to be shared and noisy, so everything is a ratio between neighbours inside one
run, over interleaved rounds, in CPU time of the candidate's own processes; medians are reported and the spread is kept.
"""

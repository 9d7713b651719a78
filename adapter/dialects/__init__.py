"""One folder a dialect, neither of which knows the other; what `base.Dialect` names stands in files of the same names."""

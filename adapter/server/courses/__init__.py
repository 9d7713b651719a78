"""What a turn leads to: which calls to which upstreams, from its body and what came before it."""

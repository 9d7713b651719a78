"""One upstream call: what is sent, how it begins, and how its answer comes through to the client."""

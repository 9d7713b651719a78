"""The side that clients see: routes, one pipeline for every surface, the pump, health, draining."""

"""HTTP as clients speak it: connections, bodies in, answers and refusals out."""

"""Tools of every kind as functions, for servers that know no other: offered, called in the history, and called in answers."""

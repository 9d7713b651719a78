"""What replies and streams of Chat Completions are read and written with."""

"""What `read_request` and `write_request` are made of: messages, tools and settings of Chat Completions."""

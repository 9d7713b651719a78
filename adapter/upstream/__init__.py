"""Model servers: what each kind can do, which one serves a model, and how it is called."""

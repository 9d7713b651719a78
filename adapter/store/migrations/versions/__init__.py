"""One file a revision, named by its number; `migrate.REVISIONS` lists them."""

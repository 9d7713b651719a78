"""The language in the middle: Responses items for documents, a small alphabet of events for streams."""

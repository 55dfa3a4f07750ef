"""The recipes that come with folio, as commented YAML."""

"""Models that others trained, in each form that they are published in, made models of folio."""

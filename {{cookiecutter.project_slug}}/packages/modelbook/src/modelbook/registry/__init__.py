"""Tags, versions, records and events: what git says of them."""

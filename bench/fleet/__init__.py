"""A fleet like the published one: drawn nodes, each an emulated link that `hps` runs over."""

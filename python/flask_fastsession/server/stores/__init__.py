"""The stores that come with the package. The module of a store is imported only if the config names the store."""

"""The stores: one module a store, each with the class of its name."""

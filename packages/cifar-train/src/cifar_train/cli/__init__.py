"""The command `cifar-train`."""

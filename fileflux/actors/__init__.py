"""The actors of the hub and the kernel they run on."""

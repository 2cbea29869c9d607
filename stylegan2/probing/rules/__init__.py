"""Rules that turn measured numbers into findings, and the predictions of theory that they rest on."""

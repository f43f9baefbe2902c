# Every target does its own set-up on a fresh Debian or Ubuntu; root and make are enough.
# What a lane needs beyond a compiler, `cargo xtask LANE` installs by itself.

.PHONY: demo test vm fuzz bench peers tidy toolchain

demo: toolchain ## builds tare and shows what a container is
	@cargo xtask demo

test: toolchain ## every test, unit and end-to-end, on this kernel
	@cargo xtask test

vm: toolchain ## the same end-to-end under cgroup v2, without and with systemd, in a virtual machine
	@cargo xtask vm

fuzz: toolchain ## the parsers of strangers' bytes, 20 seconds each
	@cargo xtask fuzz

bench: toolchain ## the budgets, beside the engines installed here
	@cargo xtask bench

peers: toolchain ## other runtimes' test suites against tare, beside runc; an hour, and not part of CI
	@cargo xtask peers

tidy: toolchain ## the house rules that a compiler does not check
	@cargo xtask tidy

toolchain:
	@sh xtask/toolchain.sh

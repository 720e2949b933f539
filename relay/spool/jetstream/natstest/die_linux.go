package natstest

import "syscall"

// dieWithUs ends the server when the test's process ends, however that does.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

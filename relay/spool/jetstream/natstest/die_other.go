//go:build !linux

package natstest

import "syscall"

// dieWithUs needs Linux; elsewhere a killed test leaves its servers behind.
func dieWithUs() *syscall.SysProcAttr { return nil }
